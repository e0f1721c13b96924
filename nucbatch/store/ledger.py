"""Ledger of a run: an append-only record of committed fields, written by the driver only.

- A field counts as done once its line, newline included, is on disk. Its files are on disk before.
- A line truncated by a kill is dropped. Any other damage is repaired from the table fragments
  (``recover.py``), never skipped.
- The first line records the inputs of the run; only a run with the same inputs may continue it.
- The last line of a field wins.
- The line of a done field identifies its source files. Fields whose files have changed are computed again. If
  most have changed, the input is a different one and the run is rejected.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, astuple
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nucbatch.core.errors import InputError, SettingsConflict, StoreError
from nucbatch.core.plate import Plate
from nucbatch.core.settings import HashedSettings, RunSettings, validated, validated_as
from nucbatch.store.atomic import append_durably, cannot_write, flush_folder, whole_lines
from nucbatch.store.held_receipts import HeldReceipts
from nucbatch.store.receipt import Receipt, checked_json, field_digest, line_of, receipt_of
from nucbatch.store.run_folder import RunFolder
from nucbatch.version import __version__

LEDGER_FORMAT = 4

_OF_MAPS = (
    "channel:",
    "model_hash:",
    "normalise.",
    "precision:",
    "pixel_size_um:",
    "diameter_px:",
    "plate_diameter_px:",
    "flat_field",
)
"""Settings that change the probabilities, or the files of large images from which these are made."""


class Ledger:
    """Open ledger, for the driver that holds the run lock; a context manager."""

    def __init__(
        self,
        folder: RunFolder,
        settings: HashedSettings,
        plate_sha256: str,
        *,
        about: Mapping[str, str] | None = None,
        guard: Callable[[], None] = lambda: None,
        committed: Callable[[Collection[Receipt]], None] = lambda receipts: None,
    ) -> None:
        """Opens or creates the ledger and removes a truncated last line.

        Args:
            folder: the run's folder.
            settings: settings of the run.
            plate_sha256: :func:`plate_digest` of the input.
            about: further values for a new first line.
            guard: called before each commit; raises if this driver has lost the run lock.
            committed: called with the receipts after each commit.

        Raises:
            SettingsConflict: the ledger belongs to other settings, another input or another version.
            StoreError: the ledger is damaged or cannot be written.
        """
        self.path, self._guard, self._committed = folder.ledger, guard, committed
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
                self._write(make_header(settings, plate_sha256) | dict(about or {}))
                flush_folder(self.path.parent)
        except BaseException:
            os.close(self._descriptor)
            raise

    def append(self, *receipts: Receipt) -> None:
        """Commits fields durably; they are on disk when the call returns. One call costs one flush.

        Raises:
            StoreError: the lines cannot be written; the fields are not committed.
        """
        self._guard()
        if receipts:
            self._write(*(asdict(receipt) for receipt in receipts))
        self._committed(receipts)

    def close(self) -> None:
        """Closes the ledger."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, *values: dict[str, Any]) -> None:
        append_durably(self._descriptor, self.path, b"".join(map(line_of, values)))


def make_header(settings: HashedSettings, plate_sha256: str) -> dict[str, Any]:
    """Builds the first line of a ledger, which records the inputs of the run."""
    return {
        "format": LEDGER_FORMAT,
        "nucbatch": __version__,
        "settings_sha256": settings.digest(),
        "settings": settings.model_dump(mode="json"),
        "plate_sha256": plate_sha256,
    }


def receipts(folder: RunFolder) -> Iterator[Receipt]:
    """Yields all receipts in commit order; a field may appear several times, and the last one counts.

    Yields nothing if there is no ledger. A last line without its newline is skipped.

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


def latest_receipts(folder: RunFolder) -> HeldReceipts:
    """Returns the valid receipt of each field, by the field's key; each is parsed when it is asked for.

    Raises:
        StoreError: a line is damaged; the message has its number.
    """
    return HeldReceipts.of_ledger(folder.ledger, partial(_damaged, folder.ledger))


def continues_run(folder: RunFolder, settings: RunSettings) -> bool:
    """Returns whether a run with exactly these settings was started here."""
    begun = started_settings(folder)
    return begun is not None and begun.digest() == settings.digest()


def require_probabilities(folder: RunFolder, settings: RunSettings) -> None:
    """Checks that the stored probabilities can be reused with these settings.

    Raises:
        SettingsConflict: settings differ that affect the probabilities.
        StoreError: no probabilities are stored here.
    """
    begun, header = started_settings(folder), read_header(folder)
    if not folder.scratch.is_dir() and not folder.probabilities.is_dir():
        raise StoreError(
            f"{folder.path} has no stored probabilities: those of images of more than one block are always "
            "stored, those of others with --keep-probabilities. Leave out --reuse-probabilities, and give "
            "--restart --keep-probabilities to make and store them."
        )
    if begun is None and header:
        raise StoreError(
            f"{folder.path} has probabilities of nucbatch {header.get('nucbatch')}, this is {__version__}. "
            "Use the version that wrote them, or --restart."
        )
    if begun is None:  # an earlier session was killed after it had removed the old results
        return
    differences = [one for one in settings.differences(begun) if one.startswith(_OF_MAPS)]
    if differences:
        raise SettingsConflict(
            f"{folder.path} has probabilities of other settings. " + "; ".join(differences) + ". With "
            "--reuse-probabilities only settings of objects, measurements and output may differ. Start over "
            "with --restart."
        )


def same_images(begun: RunSettings | None, settings: RunSettings) -> bool:
    """Returns whether the copies of images in the run's OME-Zarr are those that the settings ask for."""
    if begun is None:
        return False
    kept, asked = ((one.keeps_zarr, one.images, one.ome_zarr) for one in (begun, settings))
    return kept == asked


def started_settings(folder: RunFolder) -> RunSettings | None:
    """Returns the settings of the run that was started here; None if there is none, or by another version."""
    header = read_header(folder)
    if header.get("nucbatch") != __version__:
        return None
    try:
        return validated(header["settings"])
    except KeyError:
        return None
    except InputError as error:
        raise _damaged(folder.ledger, 1) from error


def read_header(folder: RunFolder) -> dict[str, Any]:
    """Reads the ledger's first line; empty if it is missing or damaged."""
    if not folder.ledger.exists():
        return {}
    with folder.ledger.open("rb") as file:
        values = checked_json(file.readline())
    return {} if values is None else dict(json.loads(values))


def plate_digest(plate: Plate) -> str:
    """Returns the SHA-256 (hex) of what all fields share: names, layout, channels and pyramid levels.

    The root folder is not included, so a plate may be moved between two sessions of a run. The fields are not
    included either, because each has a digest of its own.
    """
    levels = sorted(
        {level for of_field in set(plate.fields.of_parts("planes", "level")) for (level,) in of_field}
    )
    channels = [astuple(channel) for channel in plate.channels]
    shared = [plate.name, plate.layout, plate.is_plate, channels, levels]
    return hashlib.sha256(json.dumps(shared).encode()).hexdigest()


def changed_fields(folder: RunFolder, plate: Plate, held: HeldReceipts) -> list[str]:
    """Lists the keys of done fields whose source files have changed or are gone.

    Args:
        folder: the run's folder.
        plate: the input as it is now.
        held: the valid receipts.

    Raises:
        SettingsConflict: more than half of the done fields have changed.
    """
    done = list(held.done())
    same = {
        field.key
        for field in plate.fields
        if not field.problem
        and (source := held.source_of_done(field.key)) is not None
        and field_digest(field) == source
    }
    changed = [key for key in done if key not in same]
    if 2 * len(changed) > len(done):
        raise SettingsConflict(
            f"{folder.path} holds a run of another input: of {len(done):,} finished fields, {len(changed):,} "
            f"are missing or have files of other sizes or times (the first is {changed[0]}). Continue with "
            "the original input, or start over with --restart, or choose another folder."
        )
    return changed


def _check_header(path: Path, settings: HashedSettings, plate_sha256: str) -> None:
    with path.open("rb") as file:
        header = _parsed(path, 1, file.readline())
    if header.get("format") != LEDGER_FORMAT:
        raise StoreError(
            f"{path} has format {header.get('format')}, this version of nucbatch reads format "
            f"{LEDGER_FORMAT}. Use the version that wrote it, or --restart."
        )
    differences = []
    if header.get("nucbatch") != __version__:  # whose settings this one may not know
        differences.append(f"nucbatch: {header.get('nucbatch')} → {__version__}")
    elif header.get("settings_sha256") != settings.digest():
        try:
            differences += settings.differences(validated_as(type(settings), header["settings"]))
        except (InputError, KeyError) as error:
            raise _damaged(path, 1) from error
    if header.get("plate_sha256") != plate_sha256:
        differences.append("the input: its name, layout, channels or resolution have changed")
    if differences:
        raise SettingsConflict(
            f"{path.parent.parent} holds a run with other inputs. " + "; ".join(differences) + ". Continue "
            "with the original ones, or start over with --restart, or choose another folder with -o."
        )


def _parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    values = checked_json(line)
    if values is None:
        raise _damaged(path, number)
    parsed: dict[str, Any] = json.loads(values)
    return parsed


def _damaged(path: Path, number: int) -> StoreError:
    return StoreError(
        f"{path} is damaged in line {number}. Run the same command again: it rebuilds the ledger from the "
        "table fragments."
    )
