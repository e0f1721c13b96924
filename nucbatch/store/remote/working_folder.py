"""Working folder of a run in a store: brought up to date with the store when a session begins.

The folder on a disk is an ordinary run's folder, but for pixels that are in the store already. The ledger in
the store counts. What a killed session has finished here but not sent is kept, and sent later. On another
machine, or in another folder, ledger, table fragments and a few small files are fetched first.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import StoreError
from nucbatch.object_store import ObjectPath
from nucbatch.object_store.writing import objects_below
from nucbatch.store.atomic import PARTIAL, replacing, write_text
from nucbatch.store.receipt import Receipt, receipt_of
from nucbatch.store.remote.compared import Known, bring, of_object
from nucbatch.store.remote.ledger import Files, RemoteLedger, read_rest
from nucbatch.store.run_folder import RunFolder

_FETCHED = ("run.json", ".nucbatch/metadata.csv", ".nucbatch/session.json", ".nucbatch/logs/warnings.jsonl")
_THREADS = 16


def working_folder(address: ObjectPath, work: Path | None = None) -> RunFolder:
    """Returns the working folder of an address.

    Args:
        address: the run's address.
        work: the folder to put it in; None for the user's cache folder.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nucbatch"
    digest = hashlib.sha256(str(address).encode()).hexdigest()[:12]
    name = "".join(one if one.isascii() and (one.isalnum() or one in "._-") else "_" for one in address.name)
    return RunFolder(((work or cache) / f"{name}-{digest}").absolute())


def discard(folder: RunFolder) -> None:
    """Removes a working folder; if this is interrupted, nothing is left in its place.

    Raises:
        StoreError: it can't be removed.
    """
    aside = folder.path.with_name(f"{folder.path.name}.removed")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        folder.path.rename(aside)
        shutil.rmtree(aside)
    except OSError as error:
        raise StoreError(
            f"{folder.path} can't be removed: {error.strerror or error}. Remove it, and give the same "
            "command again."
        ) from error


@dataclass(slots=True)
class UpToDate:
    """What is in the store when a session begins.

    Attributes:
        there: keys of the fields whose objects are in the store.
        damaged: why fields of the ledger have to be done again, by key.
        waiting: keys of fields that were finished in this folder and are not in the store.
        compared: number of objects that were read and compared, and their size in bytes.
    """

    there: set[str] = field(default_factory=set)
    damaged: dict[str, str] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    compared: tuple[int, int] = (0, 0)


def bring_up_to_date(folder: RunFolder, ledger: RemoteLedger, *, verify: bool = False) -> UpToDate:
    """Makes the working folder agree with the store, and looks for the objects of all finished fields.

    Args:
        folder: the working folder; what it holds of another run is removed.
        ledger: the ledger in the store.
        verify: read every object and compare its SHA-256, not only its size.

    Raises:
        StoreError, InputError: the store does not answer, its ledger is damaged, or the folder can't be
            written.
    """
    claim(folder, ledger.pointer.run)
    found = UpToDate()
    done: dict[str, tuple[Known, NDArray[np.uint64]]] = {}
    known = _write_ledger(folder, ledger, found, done)
    there = listed(ledger.address) if done else np.zeros(0, np.uint64)
    for key, (_, files) in done.items():
        missing = int((~np.isin(files, there)).sum())
        if missing:
            found.damaged[key] = f"{missing} of its objects are missing in the store, or have another size"
    if verify:
        _compare_all(ledger, {key for key in done if key not in found.damaged}, found)
    _fetch_fragments(folder, ledger.address, {key: one[0] for key, one in done.items()}, found)
    rest = read_rest(ledger.address) if known else {}
    for name in _FETCHED:
        if name in rest and not (folder.path / name).exists():
            bring(ledger.address / name, folder.path / name, rest[name])
    found.there = done.keys() - found.damaged.keys()
    return found


def claim(folder: RunFolder, run: str) -> None:
    """Creates the working folder of a run; removes what it holds of another one.

    Raises:
        StoreError: the folder holds something else.
    """
    mark = folder.hidden / "remote_run"
    if folder.path.exists() and not (mark.is_file() and mark.read_text(encoding="utf-8") == run):
        files = (path for path in folder.path.rglob("*") if path.is_file() and PARTIAL not in path.suffix)
        if not mark.is_file() and next(files, None) is not None:
            raise StoreError(
                f"{folder.path} is no working folder of nucbatch: move it away, or name another folder with "
                "--work."
            )
        discard(folder)
    if not mark.is_file():
        try:
            mark.parent.mkdir(parents=True)
        except OSError as error:
            raise StoreError(
                f"{folder.path} can't be made: {error.strerror or error}. Name a folder with --work."
            ) from error
        write_text(mark, run)
    folder.create()


def _write_ledger(
    folder: RunFolder,
    ledger: RemoteLedger,
    found: UpToDate,
    done: dict[str, tuple[Known, NDArray[np.uint64]]],
) -> bool:
    """Writes the folder's ledger from that in the store, and what the folder has beyond it.

    Returns:
        Whether there is a ledger in the store.
    """
    here = {receipt.field: line for line, receipt in receipts_in(folder)}
    if not ledger.parts:
        found.waiting = set(here)
        return False
    status: dict[str, str] = {}
    with replacing(folder.ledger) as temporary, temporary.open("wb") as file:
        for line in ledger.lines():
            if line.files is not None:
                for key, files in line.files.items():
                    done[key] = _table_of(key, files), hashes(files)
                continue
            file.write(line.content)
            if line.receipt is not None:
                status[line.receipt.field] = line.receipt.status
        for key, content in here.items():
            receipt = receipt_of(content)
            if receipt is not None and receipt.status == "done" and status.get(key) != "done":
                file.write(content)
                found.waiting.add(key)
    for key in [key for key in done if status.get(key) != "done"]:
        del done[key]
    return True


def receipts_in(folder: RunFolder) -> Iterator[tuple[bytes, Receipt]]:
    """Yields the sound receipts of the folder's own ledger."""
    if not folder.ledger.exists():
        return
    with folder.ledger.open("rb") as file:
        for line in file:
            receipt = receipt_of(line)
            if receipt is not None:
                yield line, receipt


def _table_of(key: str, files: Files) -> Known:
    return files.get(f".nucbatch/fragments/{key}.parquet", (-1, ""))


def hashes(files: Files) -> NDArray[np.uint64]:
    """Returns a hash of the name and size of each file."""
    return np.array([_hash(name, size) for name, (size, _) in files.items()], np.uint64)


def _hash(name: str, size: int) -> int:
    """Hashes name and size of an object, so that the objects of a large run fit into memory."""
    return int.from_bytes(hashlib.blake2b(f"{size} {name}".encode(), digest_size=8).digest())


def listed(address: ObjectPath) -> NDArray[np.uint64]:
    """Returns the hashes of all objects of a run."""
    start = len(address.key) + 1
    found = (_hash(one["path"][start:], one["size"]) for one in objects_below(address.bucket, address.key))
    return np.sort(np.fromiter(found, np.uint64))


def _fetch_fragments(
    folder: RunFolder, address: ObjectPath, tables: dict[str, Known], found: UpToDate
) -> None:
    """Fetches the table fragments that are not in the folder."""

    def fetch(key: str) -> tuple[str, bool]:
        path = folder.fragment(key)
        if path.is_file() and path.stat().st_size == tables[key][0]:
            return key, True
        return key, bring(address / path.relative_to(folder.path).as_posix(), path, tables[key])

    wanted = [key for key in tables if key not in found.damaged]
    with ThreadPoolExecutor(_THREADS) as pool:
        for key, is_there in pool.map(fetch, wanted):
            if not is_there:
                found.damaged[key] = "its table in the store has other bytes than were written"


def _compare_all(ledger: RemoteLedger, keys: set[str], found: UpToDate) -> None:
    """Reads all objects of fields and compares their SHA-256."""
    files, size_bytes = 0, 0
    latest = {
        key: number for number, line in enumerate(ledger.lines()) for key in (line.files or {}) if key in keys
    }
    with ThreadPoolExecutor(_THREADS) as pool:
        for number, line in enumerate(ledger.lines()):
            for key, known in (line.files or {}).items():
                if latest.get(key) != number:
                    continue
                places = [ledger.address / name for name in known]
                for place, (size, digest), read in zip(
                    places, known.values(), pool.map(of_object, places), strict=True
                ):
                    files, size_bytes = files + 1, size_bytes + max(0, read[0])
                    if read != (size, digest):
                        found.damaged[key] = f"{place} has other bytes than were written"
    found.compared = files, size_bytes
