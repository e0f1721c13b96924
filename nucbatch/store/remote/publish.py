"""Sends finished fields to a store in the background, in the order of their commits.

Of each batch the pixels go first, then the table fragments, then one part of the ledger. What is in the store
is removed from the working folder, but for the table fragments, which the tables are made of at the end. The
driver waits if too many fields are not sent yet, so the folder stays small.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from nucbatch.core.errors import FieldFailed, InputError, StoreError
from nucbatch.core.signals import Stopped
from nucbatch.object_store import ObjectPath
from nucbatch.object_store.writing import delete, objects_below
from nucbatch.store.atomic import PARTIAL
from nucbatch.store.clear_run import is_own_zarr_file
from nucbatch.store.receipt import Receipt, line_of
from nucbatch.store.remote.compared import of_file, send
from nucbatch.store.remote.ledger import Files, RemoteLedger, read_rest, write_rest
from nucbatch.store.remote.lock import RemoteLock
from nucbatch.store.remote.unfinished import Unfinished
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.scratch import Scratch
from nucbatch.store.stamps import ABSENT, TABLE, ImagePaths
from nucbatch.store.verify_files import files_of

_AT_ONCE = 16
_MOST_WAITING = 64
_TOGETHER = 32  # fields of one part; a kill loses what was sent of an unfinished one
_ABOVE_FIELDS = 3  # a well's metadata: row, column and the file
_KEPT_LOGS = ".nucbatch/logs/"
_SENT_HIDDEN = (".nucbatch/metadata.csv", ".nucbatch/session.json", ".nucbatch/plate.json", _KEPT_LOGS)


class Publisher:
    """Sends finished fields; a context manager, at whose end all are sent unless the run has failed.

    Args:
        folder: the working folder.
        ledger: the ledger in the store.
        lock: the lock of the address.
        places: returns the paths of a field's files by its key.
        seen: whether an earlier session may have left objects of fields that are not in the ledger.
        unfinished: sends large images in progress.
    """

    def __init__(
        self,
        folder: RunFolder,
        ledger: RemoteLedger,
        lock: RemoteLock,
        places: Callable[[str], ImagePaths],
        *,
        seen: bool,
        unfinished: Unfinished | None = None,
    ) -> None:
        self._unfinished = unfinished
        self._folder, self._ledger, self._lock, self._places, self._seen = folder, ledger, lock, places, seen
        self._waiting: list[Receipt] = []
        self._unsent = 0
        self._changed = threading.Condition()
        self._ends = False
        self._error: BaseException | None = None
        self._pool = ThreadPoolExecutor(_AT_ONCE, "nucbatch-send")
        self._thread = threading.Thread(target=self._send_all, name="nucbatch-publish", daemon=True)

    def commit(self, receipts: Collection[Receipt]) -> None:
        """Queues fields that the folder's ledger lists; waits while too many are not sent.

        Raises:
            StoreError, RunLocked: sending has failed; what was not sent stays in the folder.
        """
        with self._changed:
            self._waiting += receipts
            self._unsent += len(receipts)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._unsent <= _MOST_WAITING or self._error is not None)
            self._require()

    def remove_sent(self, keys: Iterable[str]) -> None:
        """Removes what a killed session has left in the folder of fields that are in the store."""
        for key in keys:
            places = self._places(key)
            if places.group.exists() or places.label_tiff.exists():
                self._remove_here(key)

    def drain(self) -> None:
        """Waits until all fields are sent.

        Raises:
            StoreError, RunLocked: as :meth:`commit`.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._unsent or self._error is not None)
            self._require()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None or isinstance(error, (Stopped, FieldFailed)):
                self.drain()
        finally:
            with self._changed:
                self._ends = True
                self._waiting.clear()
                self._changed.notify_all()
            self._thread.join()
            self._pool.shutdown()

    def _require(self) -> None:
        if self._error is not None:
            raise self._error

    def _send_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ends)
                if self._ends:
                    return
                batch, self._waiting = self._waiting[:_TOGETHER], self._waiting[_TOGETHER:]
            try:
                self._send(batch)
            except (InputError, StoreError, OSError) as error:
                self._fail(
                    StoreError(
                        f"{error} Results that are not in the store yet are kept in {self._folder.path}: "
                        "give the same command again once the store answers."
                    )
                )
                return
            except Exception as error:  # noqa: BLE001  # the driver raises it
                self._fail(error)
                return
            with self._changed:
                self._unsent -= len(batch)
                self._changed.notify_all()

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def _send(self, batch: list[Receipt]) -> None:
        """Sends the files of fields, then the part of the ledger, and removes what the store has."""
        done = [receipt for receipt in batch if receipt.status == "done"]
        pixels = {receipt.field: self._files(receipt) for receipt in done}
        tables = {key: [self._places(key).table] for key in pixels}
        if self._seen:
            for _ in self._pool.map(self._remove_strays, pixels, pixels.values()):
                pass
        sent = self._sent(pixels)
        for key, files in self._sent(tables).items():
            sent[key] |= files
        self._lock.require()
        lines = [line_of(asdict(receipt)) for receipt in batch]
        if not self._ledger.parts:
            with self._folder.ledger.open("rb") as file:
                lines.insert(0, file.readline())
        self._ledger.append(lines, sent)
        for key in pixels:
            self._remove_here(key)
            if self._unfinished is not None:
                self._unfinished.forget(self._group(key))

    def _files(self, receipt: Receipt) -> list[Path]:
        """Returns the files of a field but its table fragment.

        Raises:
            StoreError: the list in the fragment is damaged.
        """
        places = self._places(receipt.field)
        stamps = files_of(places, receipt)
        if stamps is None:
            raise StoreError(f"{places.table} is damaged: give the same command again.")
        return [places.path(name) for name, stamp in stamps.items() if name != TABLE and stamp != ABSENT]

    def _sent(self, paths: dict[str, list[Path]]) -> dict[str, Files]:
        """Sends files of fields, several at once, and returns what was sent by key and name."""
        named = [(key, self._name(path)) for key, some in paths.items() for path in some]
        files: dict[str, Files] = {key: {} for key in paths}
        known = self._pool.map(self._send_one, [name for _, name in named])
        for (key, name), one in zip(named, known, strict=True):
            files[key][name] = one
        return files

    def _send_one(self, name: str) -> tuple[int, str]:
        return send(self._folder.path / name, self._ledger.address / name)

    def _remove_strays(self, key: str, paths: Iterable[Path]) -> None:
        """Removes objects that an earlier attempt of a field has left and this one has not written."""
        group = self._ledger.address / self._name(self._places(key).group)
        written = {(self._ledger.address / self._name(path)).key for path in paths}
        start = len(group.parent.key) + 1
        strays = [
            one["path"]
            for one in objects_below(group.bucket, group.key)
            if one["path"] not in written and is_own_zarr_file(Path(one["path"]), one["path"][start:])
        ]
        delete(group.bucket, strays)

    def _remove_here(self, key: str) -> None:
        places = self._places(key)
        shutil.rmtree(places.group, ignore_errors=True)
        places.label_tiff.unlink(missing_ok=True)
        shutil.rmtree(Scratch(self._folder.scratch / self._group(key)).path, ignore_errors=True)

    def _group(self, key: str) -> str:
        """Returns the group of a field in its OME-Zarr."""
        return "/".join(self._places(key).group.relative_to(self._folder.path).parts[1:])

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder.path).as_posix()


def publish_rest(folder: RunFolder, address: ObjectPath, failed: Iterable[ObjectPath]) -> None:
    """Sends tables, report and metadata of a finished run, and removes what earlier sessions sent of others.

    Args:
        folder: the working folder.
        address: the run's address.
        failed: groups of fields that have failed; what the store holds of them is removed.

    Raises:
        StoreError, InputError: the store does not answer.
    """
    before = read_rest(address)
    names = sorted(
        path.relative_to(folder.path).as_posix()
        for path in folder.path.rglob("*")
        if path.is_file() and not path.name.endswith(PARTIAL)
    )
    names = [name for name in names if _belongs_to_no_field(name)]
    kept = {
        name: known for name, known in before.items() if name.startswith(_KEPT_LOGS) and name not in names
    }

    def sent(name: str) -> tuple[int, str]:
        known = of_file(folder.path / name)
        return known if before.get(name) == known else send(folder.path / name, address / name)

    # Listed before they are written, so that a killed session leaves nothing that is not listed.
    promised = {name: before.get(name, (-1, "")) for name in names}
    write_rest(address, before | promised)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        files = dict(zip(names, pool.map(sent, names), strict=True))
    for group in failed:
        delete(group.bucket, [one["path"] for one in objects_below(group.bucket, group.key)])
    delete(
        address.bucket, [(address / name).key for name in before if name not in files and name not in kept]
    )
    write_rest(address, files | kept)


def _belongs_to_no_field(name: str) -> bool:
    """Returns whether a file is sent at the end; those of fields are sent with their receipts alone."""
    top, *below = name.split("/")
    if top == ".nucbatch":
        return name.startswith(_SENT_HIDDEN)
    if top == "plate.zarr":
        return len(below) <= _ABOVE_FIELDS
    if top == "images.zarr":
        return len(below) == 1 or below[0] == "OME"
    return not below
