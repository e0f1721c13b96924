"""Ledger of a run in an object store: numbered objects, each with the receipts of one batch.

A store can't append, so each commit writes one more object, ``.nucbatch/ledger/<generation>/<number>.jsonl``,
and only if no other driver has written one of this number: the order of the parts is the order of the
commits, and two drivers can't both commit. A part holds lines of the local ledger, unchanged, and one line
with size and SHA-256 of every file that they stand for; these objects are in the store before the part is.
The first part begins with the ledger's header.

``.nucbatch/remote.json`` names the run and the generation of parts that counts. Many parts are compacted to
one by writing another generation. While ``clears`` is set there, an earlier run is being removed.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from nucbatch.core.errors import ImageUnavailable, RunLocked, StoreError
from nucbatch.object_store import ObjectPath
from nucbatch.object_store.writing import delete, get, objects_below, put, put_new
from nucbatch.store.clear_run import is_own_zarr_file
from nucbatch.store.receipt import Receipt, checked_json, line_of, receipt_of
from nucbatch.store.remote.compared import Known

REMOTE_FORMAT = 1
BEGUN = ".nucbatch/begun"
"""Folder of what the last session has written at its beginning: its record, and the plate."""

MOST_PARTS = 256
"""More parts than these are compacted at the start of a session."""

_TABLES = frozenset(
    {
        *("nuclei.parquet", "nuclei.csv", "fields.parquet", "wells.csv", "files.csv"),
        *("assay.csv", "doses.csv", "normalised.csv", "report.html", "run.json"),
    }
)
_LOCKS = ".nucbatch/lock."
_TOGETHER = 1000
_THREADS = 16
_AT_ONCE = 256

Files = dict[str, Known]
"""Size and SHA-256 of files by their names below the run's folder."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """Content of ``.nucbatch/remote.json``.

    Attributes:
        run: id of the run, by which a working folder recognises it.
        generation: folder of the parts that count.
        clears: whether the run is being removed.
        format: of these objects.
    """

    run: str
    generation: str
    clears: bool = False
    format: int = REMOTE_FORMAT


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a part: the ledger's header, a receipt, or the files of fields by their keys."""

    content: bytes
    receipt: Receipt | None = None
    files: dict[str, Files] | None = None


class RemoteLedger:
    """Ledger below an address, for the driver that holds the lock there, or for a reader."""

    def __init__(self, address: ObjectPath, pointer: Pointer, parts: int) -> None:
        self.address, self.pointer, self.parts = address, pointer, parts

    @classmethod
    def found(cls, address: ObjectPath) -> RemoteLedger | None:
        """Opens the ledger below an address; None if there is none.

        Raises:
            StoreError: it is damaged, of another version, or the store does not answer.
        """
        place = _pointer_of(address)
        try:
            content, _ = get(place.bucket, place.key)
        except FileNotFoundError:
            return None
        return cls.read(address, content)

    @classmethod
    def read(cls, address: ObjectPath, content: bytes) -> RemoteLedger:
        """Opens the ledger that the content of ``.nucbatch/remote.json`` names.

        Raises:
            StoreError: it is damaged, of another version, or the store does not answer.
        """
        place = _pointer_of(address)
        try:
            pointer = Pointer(**json.loads(content))
        except (ValueError, TypeError) as error:
            raise StoreError(f"{place} is damaged: start over with --restart.") from error
        if pointer.format != REMOTE_FORMAT:
            raise StoreError(
                f"{place} has format {pointer.format}, this version of nucbatch reads {REMOTE_FORMAT}. Use "
                "the version that wrote it, or choose another address."
            )
        ledger = cls(address, pointer, 0)
        ledger.parts = ledger._counted()
        return ledger

    @classmethod
    def opened(cls, address: ObjectPath, *, restart: bool = False) -> RemoteLedger:
        """Opens the ledger below an address, or begins a run there; the caller holds the lock.

        Raises:
            StoreError: the address holds something else, a damaged ledger, or one of another version.
            InputError: the store refuses, or does not answer.
        """
        place = _pointer_of(address)
        try:
            content, _ = get(place.bucket, place.key)
        except FileNotFoundError:
            _require_empty(address)
            return cls.begun(address)
        if restart or b'"clears": true' in content:
            clear_remote(address)
            return cls.begun(address)
        return cls.read(address, content)

    @classmethod
    def begun(cls, address: ObjectPath) -> RemoteLedger:
        """Begins a run below an address without one."""
        ledger = cls(address, Pointer(uuid.uuid4().hex, uuid.uuid4().hex), 0)
        ledger._point(ledger.pointer)
        return ledger

    def append(self, lines: Iterable[bytes], files: dict[str, Files]) -> None:
        """Commits lines of the ledger, and the files that they stand for, as one part.

        Raises:
            RunLocked: another driver has committed meanwhile. InputError: the store does not answer.
        """
        # The id tells this driver's part from an equal one of another driver.
        place = self._part(self.parts)
        content = b"".join(lines) + line_of({"files": files, "id": uuid.uuid4().hex})
        if put_new(place.bucket, place.key, content) is None:
            raise RunLocked(
                f"{self.address} was taken over: another driver has committed fields there. Finished fields "
                "are kept. Wait for the other driver to end."
            )
        self.parts += 1

    def lines(self) -> Iterator[Line]:
        """Yields all lines in the order of the commits.

        Raises:
            StoreError: a part is damaged, or the store does not answer.
        """
        if not self.parts:
            return
        first = self._part(0)  # may be a large one
        try:
            with first.open() as part:
                yield from (_line(first, content) for content in part)
        except (FileNotFoundError, ImageUnavailable) as error:
            raise StoreError(f"{first} can't be read: {error}.") from error
        with ThreadPoolExecutor(_THREADS) as pool:
            for begin in range(1, self.parts, _AT_ONCE):
                places = [self._part(at) for at in range(begin, min(begin + _AT_ONCE, self.parts))]
                for place, content in zip(places, pool.map(_content, places), strict=True):
                    yield from (_line(place, line) for line in content.splitlines(keepends=True))

    def compact(self, scratch: Path) -> None:
        """Replaces the parts by one, through a file in a folder.

        Raises:
            StoreError: a part is damaged, or the store does not answer.
        """
        whole = scratch / f"ledger.{uuid.uuid4().hex}.partial"
        try:
            with whole.open("wb") as file:
                file.writelines(line.content for line in self.lines())
            self.pointer = replace(self.pointer, generation=uuid.uuid4().hex)
            place = self._part(0)
            put(place.bucket, place.key, whole)
        finally:
            whole.unlink(missing_ok=True)
        self._point(self.pointer)
        self.parts = 1
        folder = self.address / ".nucbatch" / "ledger"
        keys = [one["path"] for one in objects_below(folder.bucket, folder.key)]
        delete(folder.bucket, [key for key in keys if self.pointer.generation not in key])

    def _counted(self) -> int:
        """Returns the number of parts.

        Raises:
            StoreError: one is missing.
        """
        folder = self._part(0).parent
        numbers = sorted(
            int(one["path"].rpartition("/")[2].partition(".")[0])
            for one in objects_below(folder.bucket, folder.key)
        )
        if numbers != list(range(len(numbers))):
            lost = next(at for at, one in enumerate(numbers) if at != one)
            raise StoreError(f"{folder} lacks part {lost} of the ledger: start over with --restart.")
        return len(numbers)

    def _part(self, number: int) -> ObjectPath:
        return self.address / ".nucbatch" / "ledger" / self.pointer.generation / f"{number:08d}.jsonl"

    def _point(self, pointer: Pointer) -> None:
        place = _pointer_of(self.address)
        put(place.bucket, place.key, json.dumps(asdict(pointer)).encode() + b"\n")


def _require_empty(address: ObjectPath) -> None:
    """Checks that there is nothing below an address but a lock.

    Raises:
        StoreError: there is.
    """
    start = len(address.key) + 1
    names = (one["path"][start:] for one in objects_below(address.bucket, address.key))
    foreign = next((name for name in names if not name.startswith(_LOCKS)), None)
    if foreign is not None:
        raise StoreError(
            f"{address} is no run of nucbatch and not empty: it holds {foreign}. Choose another address with "
            "-o; a run that `nucbatch copy` has put there goes on in a folder, once it is copied back."
        )


def clear_remote(address: ObjectPath) -> None:
    """Removes the objects of a run, and at last its ledger; objects that others put there stay.

    Raises:
        InputError: the store does not answer; the next session goes on with it.
    """
    place = _pointer_of(address)
    put(place.bucket, place.key, json.dumps(asdict(Pointer("", "", clears=True))).encode() + b"\n")
    start = len(address.key) + 1
    names = (one["path"][start:] for one in objects_below(address.bucket, address.key))
    while some := list(islice((name for name in names if _is_own(name)), _TOGETHER)):
        delete(address.bucket, [(address / name).key for name in some])
    hidden = address / ".nucbatch"
    keys = [one["path"] for one in objects_below(hidden.bucket, hidden.key)]
    kept = place.key, (hidden / "lock.json").key
    delete(hidden.bucket, [key for key in keys if key not in kept])
    delete(place.bucket, [place.key])


def _is_own(name: str) -> bool:
    """Returns whether a run writes an object of this name; label groups but ``nuclei`` belong to the user."""
    top, _, below = name.partition("/")
    if not below:
        return name in _TABLES
    if top in ("plate.zarr", "images.zarr"):
        return is_own_zarr_file(Path(name), below)
    return top == "labels" and name.endswith(".tif")


def read_rest(address: ObjectPath) -> Files:
    """Reads the list of a run's files that belong to no field: its tables, report and metadata.

    Raises:
        StoreError: the store does not answer.
    """
    place = _rest_of(address)
    try:
        content, _ = get(place.bucket, place.key)
    except FileNotFoundError:
        return {}
    return {name: (size, digest) for name, (size, digest) in json.loads(content).items()}


def write_rest(address: ObjectPath, files: Files) -> None:
    """Writes the list of a run's files that belong to no field.

    Raises:
        InputError: the store does not answer.
    """
    place = _rest_of(address)
    put(place.bucket, place.key, json.dumps(files, indent=0, sort_keys=True).encode() + b"\n")


def _content(place: ObjectPath) -> bytes:
    try:
        return place.read_bytes()
    except (FileNotFoundError, ImageUnavailable) as error:
        raise StoreError(f"{place} can't be read: {error}.") from error


def _line(place: ObjectPath, content: bytes) -> Line:
    checked = checked_json(content)
    if checked is None:
        raise StoreError(f"{place} is damaged: start over with --restart.")
    if content.startswith(b'{"files":'):
        values: dict[str, Any] = json.loads(checked)
        return Line(
            content,
            files={
                key: {name: (size, digest) for name, (size, digest) in files.items()}
                for key, files in values["files"].items()
            },
        )
    return Line(content, receipt=receipt_of(content))


def _pointer_of(address: ObjectPath) -> ObjectPath:
    return address / ".nucbatch" / "remote.json"


def _rest_of(address: ObjectPath) -> ObjectPath:
    return address / ".nucbatch" / "files.json"
