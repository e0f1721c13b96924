"""What is committed: an append-only file, one line per field, written by the driver alone.

A field counts as done from the moment its line, newline included, is on the disk; the files that it stands
for are there before. A line cut short by a kill is dropped; damage anywhere else is never skipped, but mended
from the table fragments (``recover.py``). The first line says what the run is made of, and a ledger is only
continued by the same. The last line for a field wins. Each line of a done field also says of which files it
was made: what has changed since is done again, and where most has, the input is another one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, astuple
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nucbatch.core.errors import InputError, SettingsConflict, StoreError
from nucbatch.core.gc_pause import gc_paused
from nucbatch.core.plate import Plate
from nucbatch.core.settings import RunSettings, validated
from nucbatch.store.atomic import append_durably, cannot_write, flush_folder, whole_lines
from nucbatch.store.folder import RunFolder
from nucbatch.store.receipt import Receipt, field_digest, line_of, receipt_of, sound
from nucbatch.version import __version__

LEDGER_FORMAT = 4

_OF_OBJECTS = ("objects.", "labels:", "measurements")


class Ledger:
    """An open ledger, for the driver that holds the run's lock. A context manager."""

    def __init__(
        self,
        folder: RunFolder,
        settings: RunSettings,
        plate_sha256: str,
        *,
        about: Mapping[str, str] | None = None,
        guard: Callable[[], None] = lambda: None,
    ) -> None:
        """Opens the run's ledger for these settings and this input, or begins it; mends a torn last line.

        Args:
            about: what else the first line says of the input, if it is written now.
            guard: is called before each commit, and raises where this driver may not write any more.

        Raises:
            SettingsConflict: the ledger is of other settings, another input or another nucbatch.
            StoreError: the ledger is damaged or can't be written.
        """
        self.path, self._guard = folder.ledger, guard
        try:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        try:
            end = whole_lines(self._descriptor)
            if end:
                _check_header(self.path, settings, plate_sha256)
            os.ftruncate(self._descriptor, end)
            if not end:
                self._write(header_of(settings, plate_sha256) | dict(about or {}))
                flush_folder(self.path.parent)
        except BaseException:
            os.close(self._descriptor)
            raise

    def append(self, *receipts: Receipt) -> None:
        """Commits fields; they are on the disk when the call returns. Several at once cost one flush.

        Raises:
            StoreError: the line can't be written; the fields don't count as done.
        """
        self._guard()
        if receipts:
            self._write(*(asdict(receipt) for receipt in receipts))

    def close(self) -> None:
        """Ends the writing."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, *values: dict[str, Any]) -> None:
        append_durably(self._descriptor, self.path, b"".join(map(line_of, values)))


def header_of(settings: RunSettings, plate_sha256: str) -> dict[str, Any]:
    """The first line of a ledger: what its run is made of."""
    return {
        "format": LEDGER_FORMAT,
        "nucbatch": __version__,
        "settings_sha256": settings.digest(),
        "settings": settings.model_dump(mode="json"),
        "plate_sha256": plate_sha256,
    }


def receipts(folder: RunFolder) -> Iterator[Receipt]:
    """All receipts in the order of their commits, one at a time; a field may come again, the last counts.

    None where there is no ledger. A last line without its newline is left out.

    Raises:
        StoreError: a line is damaged; the message has its number.
    """
    if not folder.ledger.exists():
        return
    with folder.ledger.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            if number == 1:
                continue
            receipt = receipt_of(line)
            if receipt is None:
                raise _damaged(folder.ledger, number)
            yield receipt


def latest(folder: RunFolder) -> dict[str, Receipt]:
    """The receipt that counts, by the field's key."""
    with gc_paused():
        return {receipt.field: receipt for receipt in receipts(folder)}


def is_continued(folder: RunFolder, settings: RunSettings) -> bool:
    """Whether a run of just these settings was begun here."""
    begun = begun_with(folder)
    return begun is not None and begun.digest() == settings.digest()


def require_probabilities(folder: RunFolder, settings: RunSettings) -> None:
    """Refuses to make objects anew where the probabilities kept are of other settings, or none are.

    Raises:
        SettingsConflict: more differs than how objects are made.
        StoreError: no probabilities are kept here.
    """
    begun = begun_with(folder)
    if begun is None or not folder.scratch.is_dir():
        raise StoreError(
            f"{folder.path} keeps no probabilities: only images of more than one block do. Leave out "
            "--reuse-probabilities; with --block-size smaller than the images they are cut into blocks."
        )
    differences = [one for one in settings.differences(begun) if not one.startswith(_OF_OBJECTS)]
    if differences:
        raise SettingsConflict(
            f"{folder.path} keeps probabilities of other settings. " + "; ".join(differences) + ". Only how "
            "objects are made may differ with --reuse-probabilities; else begin anew with --restart."
        )


def begun_with(folder: RunFolder) -> RunSettings | None:
    """The settings of the run that was begun here, None if none was."""
    try:
        return validated(header_in(folder)["settings"])
    except KeyError:
        return None
    except InputError as error:
        raise _damaged(folder.ledger, 1) from error


def header_in(folder: RunFolder) -> dict[str, Any]:
    """The ledger's first line; nothing where it is gone or damaged."""
    if not folder.ledger.exists():
        return {}
    with folder.ledger.open("rb") as file:
        values = sound(file.readline())
    return {} if values is None else dict(json.loads(values))


def plate_digest(plate: Plate) -> str:
    """SHA-256 (hex) of what all fields of a run share: names, layout, channels, and levels of pyramids.

    The folder it lies in is left out, so that a plate may be moved between two sittings of a run; and so are
    the fields, each of which has a digest of its own.
    """
    levels = sorted({plane.level for field in plate.fields for plane in field.planes})
    channels = [astuple(channel) for channel in plate.channels]
    shared = [plate.name, plate.layout, plate.is_plate, channels, levels]
    return hashlib.sha256(json.dumps(shared).encode()).hexdigest()


def changed_fields(folder: RunFolder, plate: Plate, held: Mapping[str, Receipt]) -> list[str]:
    """The keys of done fields (of ``held``, by key) that are not what they were when they were done.

    Raises:
        SettingsConflict: most are not.
    """
    done = {receipt.field: receipt for receipt in held.values() if receipt.status == "done"}
    same = {
        field.key
        for field in plate.fields
        if field.key in done and not field.problem and field_digest(field) == done[field.key].source
    }
    changed = [key for key in done if key not in same]
    if 2 * len(changed) > len(done):
        raise SettingsConflict(
            f"{folder.path} holds a run of another input: of {len(done):,} fields that are done, "
            f"{len(changed):,} are gone or have files of other sizes or times (the first is {changed[0]}). "
            "Go on with the input it was begun with, or begin anew with --restart, or name another folder."
        )
    return changed


def _check_header(path: Path, settings: RunSettings, plate_sha256: str) -> None:
    with path.open("rb") as file:
        header = _parsed(path, 1, file.readline())
    if header.get("format") != LEDGER_FORMAT:
        raise StoreError(
            f"{path} is of format {header.get('format')}, this nucbatch knows format {LEDGER_FORMAT}. Use "
            "the nucbatch that made it, or --restart."
        )
    differences = []
    if header.get("nucbatch") != __version__:
        differences.append(f"nucbatch: {header.get('nucbatch')} → {__version__}")
    if header.get("settings_sha256") != settings.digest():
        try:
            differences += settings.differences(validated(header["settings"]))
        except (InputError, KeyError) as error:
            raise _damaged(path, 1) from error
    if header.get("plate_sha256") != plate_sha256:
        differences.append("the input: its name, layout, channels or resolution are not what they were")
    if differences:
        raise SettingsConflict(
            f"{path.parent.parent} holds a run that was begun otherwise. " + "; ".join(differences) + ". "
            "Go on with what it was begun with, or begin anew with --restart, or name another folder with -o."
        )


def _parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    values = sound(line)
    if values is None:
        raise _damaged(path, number)
    parsed: dict[str, Any] = json.loads(values)
    return parsed


def _damaged(path: Path, number: int) -> StoreError:
    return StoreError(
        f"{path} is damaged in line {number}. Run the same command again: what it counted as done is looked "
        "up in the table fragments."
    )
