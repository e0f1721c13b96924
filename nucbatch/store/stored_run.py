"""Runs at an address, for commands that read them: tables and records on a disk, images in the store.

A run is there because it was sent while it ran, or because ``nucbatch copy`` has put it there. Its small
files are fetched into a temporary folder, which is an ordinary run's folder but for the images.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from nucbatch.core.errors import InputNotFound, NucbatchError, StoreError
from nucbatch.object_store import ObjectPath
from nucbatch.object_store.writing import delete
from nucbatch.store.copy_run import copied_files, is_inside, write_copied
from nucbatch.store.receipt import receipt_of
from nucbatch.store.remote.compared import NOTHING, bring, of_file, send
from nucbatch.store.remote.ledger import BEGUN, Files, RemoteLedger, read_rest, write_rest
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.session_record import parsed_session, read_session

_THREADS = 16
_RECORDS = (
    ".nucbatch/plate.json",
    ".nucbatch/session.json",
    ".nucbatch/metadata.csv",
    ".nucbatch/ledger.jsonl",
)
_WARNINGS = ".nucbatch/logs/warnings.jsonl"
_FRAGMENTS = ".nucbatch/fragments/"


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run at an address.

    Attributes:
        address: of the run.
        folder: temporary folder with its tables and records; its images are those in the store.
        ledger: its ledger in the store; None for a copy, which holds an ordinary one.
        files: size and SHA-256 of its files that are known, by name.
    """

    address: ObjectPath
    folder: RunFolder
    ledger: RemoteLedger | None
    files: Files

    def send_tables(self) -> None:
        """Writes tables and report that have changed in the folder to the store, and removes those gone.

        Raises:
            StoreError, InputError: the store refuses, or does not answer.
        """
        here = [path for path in self.folder.path.iterdir() if path.is_file()]
        if self.folder.metadata.is_file():
            here.append(self.folder.metadata)
        names = {path.relative_to(self.folder.path).as_posix() for path in here}
        gone = [name for name in self.files if "/" not in name and name not in names]
        self.send(*here)
        if gone:
            self._list({name: known for name, known in self.files.items() if name not in gone})
            delete(self.address.bucket, [(self.address / name).key for name in gone])

    def send(self, *paths: Path) -> None:
        """Writes files of the folder that have changed to the store; the caller holds the lock.

        Raises:
            StoreError, InputError: the store refuses, or does not answer.
        """
        known = {path.relative_to(self.folder.path).as_posix(): of_file(path) for path in paths}
        changed = {name: one for name, one in known.items() if self.files.get(name) != one}
        if changed:
            # Listed before they are written, so that a command that is killed leaves nothing unlisted.
            self._list(dict.fromkeys(changed, NOTHING) | self.files)
            for name in changed:
                send(self.folder.path / name, self.address / name)
            self._list(self.files | changed)

    def _list(self, files: Files) -> None:
        """Writes the list of the run's files."""
        (write_copied if self.ledger is None else write_rest)(self.address, files)
        self.files.clear()
        self.files.update(files)


@contextmanager
def stored_run(address: ObjectPath, *, fragments: bool = False, tables: bool = True) -> Iterator[StoredRun]:
    """Fetches the tables and records of a run at an address into a temporary folder, which is removed.

    Args:
        address: the run's address.
        fragments: fetch the tables of single fields, too.
        tables: fetch the tables; without them only the records that tell how far the run is.

    Raises:
        InputNotFound: there is no run. StoreError: the store does not answer, or the run is damaged.
    """
    if not address.lists or not address.key:
        raise InputNotFound(f"{address} is not the address of a run: name one such as s3://bucket/run.")
    ledger = RemoteLedger.found(address)
    files = copied_files(address) if ledger is None else read_rest(address)
    with TemporaryDirectory(prefix="nucbatch-stored-") as temporary:
        folder = RunFolder(Path(temporary) / address.name, _images_in(address, files))
        folder.create()
        wanted = {name: known for name, known in files.items() if _is_wanted(name, tables=tables)}
        if ledger is not None:
            of_fields = _write_ledger(folder, ledger)
            wanted |= of_fields if fragments else {}
        elif fragments:
            wanted |= {name: known for name, known in files.items() if name.startswith(_FRAGMENTS)}
        _fetch(address, folder, wanted)
        if ledger is not None:
            _fetch_begun(address, folder)
        _date(folder.ledger)
        try:
            yield StoredRun(address, folder, ledger, files)
        except NucbatchError as error:
            error.args = (str(error).replace(str(folder.path), str(address)),)
            raise


def _is_wanted(name: str, *, tables: bool) -> bool:
    if tables:
        return "/" not in name or name in _RECORDS or name == _WARNINGS
    return name in (".nucbatch/session.json", ".nucbatch/ledger.jsonl")


def _images_in(address: ObjectPath, files: Files) -> ObjectPath | None:
    """Returns the OME-Zarr in the store; None without one."""
    for name in ("plate.zarr", "images.zarr"):
        if any(one.startswith(f"{name}/") for one in files) or (address / name).is_dir():
            return address / name
    return None


def _write_ledger(folder: RunFolder, ledger: RemoteLedger) -> Files:
    """Writes the ledger as in a folder, and returns the tables of the fields."""
    tables: dict[str, Files] = {}
    with folder.ledger.open("wb") as file:
        for line in ledger.lines():
            if line.files is None:
                file.write(line.content)
            for key, files in (line.files or {}).items():
                tables[key] = {name: known for name, known in files.items() if name.startswith(_FRAGMENTS)}
    return {name: known for files in tables.values() for name, known in files.items()}


def _date(ledger: Path) -> None:
    """Gives the ledger the time of its last receipt, which it has in a run's folder."""
    if ledger.exists():
        with ledger.open("rb") as file:
            receipts = filter(None, map(receipt_of, file))
            last_ns = max((receipt.committed_ns for receipt in receipts), default=0)
        if last_ns:
            os.utime(ledger, ns=(last_ns, last_ns))


def _fetch(address: ObjectPath, folder: RunFolder, files: Files) -> None:
    """Fetches files.

    Raises:
        StoreError: one is missing, or has other bytes than were written.
    """
    names = [name for name, known in files.items() if known != NOTHING]

    def fetch(name: str) -> bool:
        return is_inside(name) and bring(address / name, folder.path / name, files[name])

    with ThreadPoolExecutor(_THREADS) as pool:
        for name, is_there in zip(names, pool.map(fetch, names), strict=True):
            if not is_there:
                raise StoreError(
                    f"{address / name} is not the file of the run any more: give the command that wrote it "
                    "again."
                )


def _fetch_begun(address: ObjectPath, folder: RunFolder) -> None:
    """Fetches the records that the last session has written at its beginning, if it has not ended."""
    ended = read_session(folder)
    found = {
        path: place.if_there(place.read_bytes)
        for path in (folder.session, folder.plate)
        for place in (address / BEGUN / path.name,)
    }
    begun = parsed_session(found[folder.session] or b"")
    if begun is None or (ended is not None and ended.began >= begun.began):
        return
    for path, content in found.items():
        if content is not None:
            path.write_bytes(content)
