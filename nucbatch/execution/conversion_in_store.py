"""Conversions whose OME-Zarr goes to an object store.

A conversion works in a folder on a disk, as any other. Each image is sent once it is finished, with one part
of the ledger, and is then removed from the folder. The ledger, its lock and the tables are in NAME.convert
beside NAME.zarr, as they are on a disk.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from nucbatch.core.errors import InputError, StoreError
from nucbatch.core.plate import Plate
from nucbatch.core.settings import ConversionSettings
from nucbatch.core.signals import Stopped
from nucbatch.execution.conversion import ConversionResult, convert, folder_beside
from nucbatch.execution.conversion_task import paths_of
from nucbatch.execution.run_in_store import require_address, work_in
from nucbatch.execution.run_progress import Progress
from nucbatch.object_store import ObjectPath
from nucbatch.object_store.writing import delete, objects_below
from nucbatch.schedulers.contract import Scheduling
from nucbatch.store.clear_run import is_own_zarr_file
from nucbatch.store.receipt import Receipt, line_of
from nucbatch.store.remote.compared import send
from nucbatch.store.remote.ledger import MOST_PARTS, Files, RemoteLedger
from nucbatch.store.remote.lock import RemoteLock, remote_lock
from nucbatch.store.remote.working_folder import claim, discard, hashes, listed, receipts_in, working_folder
from nucbatch.store.run_folder import RunFolder, inside
from nucbatch.store.stamps import ABSENT

_AT_ONCE = 16
_MOST_WAITING = 8
_ABOVE_IMAGES = 3  # row, column and the file


def conversion_folder(out: Path, work: Path | None = None) -> RunFolder:
    """Returns the folder of a conversion on this machine, to an OME-Zarr in a folder or at an address.

    Raises:
        InputError: the name does not end in ``.zarr``, or ``work`` is given for a folder.
    """
    if isinstance(out, ObjectPath):
        return folder_beside(working_folder(out, work).path / out.name)
    return folder_beside(work_in(out, work))


def convert_to(
    plate: Plate,
    out: Path,
    settings: ConversionSettings,
    progress: Progress,
    *,
    work: Path | None = None,
    **options: Any,
) -> ConversionResult:
    """Converts to an OME-Zarr in a folder or at an address, as the functions for each.

    Raises:
        InputError: ``work`` is given for a folder. Others: as these functions.
    """
    if isinstance(out, ObjectPath):
        return convert_in_store(plate, out, settings, progress, work=work, **options)
    work_in(out, work)
    return convert(plate, out, settings, progress, **options)


def convert_in_store(
    plate: Plate,
    address: ObjectPath,
    settings: ConversionSettings,
    progress: Progress,
    *,
    work: Path | None = None,
    scheduling: Scheduling | None = None,
    restart: bool = False,
    **options: Any,
) -> ConversionResult:
    """Converts a plate or a collection of images to an OME-Zarr in a store, or continues to.

    Args:
        plate: the input.
        address: the OME-Zarr, which ends in ``.zarr``.
        settings: format and contents of the output.
        progress: reports to the user.
        work: the folder for the working folder; None for the user's cache folder.
        scheduling: where the work runs.
        restart: remove what an earlier conversion left below the address.
        options: further arguments of :func:`nucbatch.execution.conversion.convert`.

    Raises:
        InputError: the address can't be used, or the store refuses or does not answer.
        StoreError: the address holds something else. RunLocked: another driver works there.
        Others: as ``convert``.
    """
    require_address(address, work, scheduling or Scheduling())
    if f"{address}/".startswith(f"{str(plate.root).rstrip('/')}/"):
        raise InputError(
            f"{address} lies in the input, where it would be taken for images of it: choose another."
        )
    folder = conversion_folder(address, work)
    beside = address.with_suffix(".convert")
    with remote_lock(beside) as lock:
        progress.note(f"Images go to {address}; those that are not finished are in {folder.path.parent}.")
        if restart:
            _remove_own(address, "")
        ledger = RemoteLedger.opened(beside, restart=restart)
        if not ledger.parts and next(iter(objects_below(address.bucket, address.key)), None) is not None:
            raise StoreError(
                f"{address} exists and was not written by nucbatch convert (there is no ledger in "
                f"{beside.name} beside it): choose another name with -o."
            )
        claim(RunFolder(folder.path.parent), ledger.pointer.run)
        if ledger.parts > MOST_PARTS:
            ledger.compact(folder.path.parent)
        with ImagesInStore(folder, address, ledger, lock) as images:
            result = convert(
                plate,
                folder.store(plate.is_plate),
                settings,
                progress,
                scheduling=scheduling,
                restart=restart,
                to_store=images,
                **options,
            )
        images.send_rest(plate.is_plate, result.failed)
        discard(RunFolder(folder.path.parent))
    return replace(result, folder=RunFolder(beside, address))


class ImagesInStore:
    """Sends finished images to a store in the background; a context manager.

    Args:
        folder: the conversion's folder on this machine.
        address: the OME-Zarr in the store.
        ledger: the ledger in the store.
        lock: the lock of the conversion.
    """

    def __init__(
        self, folder: RunFolder, address: ObjectPath, ledger: RemoteLedger, lock: RemoteLock
    ) -> None:
        self._folder, self._address, self._ledger, self._lock = folder, address, ledger, lock
        self._root = folder.store(True)
        self._room = threading.Semaphore(_MOST_WAITING)
        self._pool = ThreadPoolExecutor(_AT_ONCE, "nucbatch-send")
        self._sender = ThreadPoolExecutor(1, "nucbatch-publish")
        self._error: BaseException | None = None
        self.sent = self._bring_up_to_date()
        """Groups of the images whose files are in the store."""

    def commit(self, group: str, receipts: Sequence[Receipt]) -> None:
        """Queues a finished image to be sent; waits while too many are not sent.

        Raises:
            StoreError, RunLocked: sending has failed; what was not sent stays in the folder.
        """
        self._room.acquire()
        self._require()
        self._sender.submit(self._try_to_send, group, list(receipts))

    def drain(self) -> None:
        """Waits until all images are sent.

        Raises:
            StoreError, RunLocked: as :meth:`commit`.
        """
        self._sender.submit(int).result()
        self._require()

    def send_rest(self, is_plate: bool, failed: Sequence[str]) -> None:
        """Sends the documents above the images and the tables; removes what the store has of failed images.

        Raises:
            StoreError, InputError: the store refuses, or does not answer.
        """
        names = sorted(
            path.relative_to(self._root).as_posix() for path in self._root.rglob("*") if path.is_file()
        )
        places = [(self._root / name, self._address / name) for name in names if _is_above(name, is_plate)]
        beside = self._ledger.address
        places += [(path, beside / path.name) for path in (self._folder.images_csv, self._folder.files)]
        places += [
            (path, beside / path.relative_to(self._folder.path).as_posix())
            for path in self._folder.logs.rglob("*")
            if path.is_file()
        ]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda one: send(*one), places))
        for group in failed:
            _remove_own(self._address, group)

    def _bring_up_to_date(self) -> set[str]:
        """Makes the folder's ledger agree with that in the store; returns the images that are whole there."""
        files: dict[str, Files] = {}
        lines: dict[str, list[bytes]] = {}
        header = b""
        for line in self._ledger.lines():
            if line.files is not None:
                files |= line.files
            elif line.receipt is None:
                header = line.content
            else:
                lines.setdefault(group_of(line.receipt.field), []).append(line.content)
        there = listed(self._address) if files else np.zeros(0, np.uint64)
        whole = {group for group, known in files.items() if bool(np.isin(hashes(known), there).all())}
        if header:
            here = [
                content
                for content, receipt in receipts_in(self._folder)
                if group_of(receipt.field) not in whole
            ]
            self._folder.create()
            with self._folder.ledger.open("wb") as file:
                file.writelines([header, *(one for group in sorted(whole) for one in lines[group]), *here])
            for group in whole:
                shutil.rmtree(inside(self._root, group), ignore_errors=True)
        return whole

    def _try_to_send(self, group: str, receipts: list[Receipt]) -> None:
        try:
            if self._error is None:
                self._send(group, receipts)
        except (InputError, StoreError, OSError) as error:
            self._error = StoreError(
                f"{error} Images that are not in the store yet are kept in {self._folder.path.parent}: give "
                "the same command again once the store answers."
            )
        except Exception as error:  # noqa: BLE001  # the driver raises it
            self._error = error
        finally:
            self._room.release()

    def _send(self, group: str, receipts: list[Receipt]) -> None:
        """Sends the files of an image, then the part of the ledger, and removes it here."""
        places = paths_of(inside(self._root, group))
        paths = {
            places.path(name)
            for receipt in receipts
            for name, stamp in receipt.files.items()
            if stamp != ABSENT
        }
        names = sorted(path.relative_to(self._root).as_posix() for path in paths)
        _remove_own(self._address, group, but=names)
        known = self._pool.map(lambda name: send(self._root / name, self._address / name), names)
        files = dict(zip(names, known, strict=True))
        self._lock.require()
        lines = [line_of(asdict(receipt)) for receipt in receipts]
        if not self._ledger.parts:
            with self._folder.ledger.open("rb") as file:
                lines.insert(0, file.readline())
        self._ledger.append(lines, {group: files})
        shutil.rmtree(inside(self._root, group), ignore_errors=True)

    def _require(self) -> None:
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        waits = error is None or isinstance(error, Stopped)
        self._sender.shutdown(wait=True, cancel_futures=not waits)
        self._pool.shutdown()
        if waits:
            self._require()


def group_of(key: str) -> str:
    """Returns the group of the image that a task's key belongs to."""
    return key.partition(" ")[0]


def _is_above(name: str, is_plate: bool) -> bool:
    """Returns whether a file of the OME-Zarr belongs to no image."""
    parts = name.split("/")
    return len(parts) <= _ABOVE_IMAGES if is_plate else len(parts) == 1 or parts[0] == "OME"


def _remove_own(address: ObjectPath, group: str, but: Sequence[str] = ()) -> None:
    """Removes the objects that a conversion writes below a group, but those named; users' own labels stay."""
    start = len(address.key) + 1
    below = address / group if group else address
    names = (one["path"][start:] for one in objects_below(below.bucket, below.key))
    kept = frozenset(but)
    delete(
        address.bucket,
        [(address / name).key for name in names if name not in kept and is_own_zarr_file(Path(name), name)],
    )
