"""Keeps in the store what large images in progress have cost the network, so that another machine goes on.

Every few minutes the probabilities of images that have been in progress for so long, and the record of their
units, are written below ``.nucbatch/scratch``. Everything else is made from them again. A session in a folder
without an image's intermediate files fetches them. Each file has a checksum, and units whose files are
missing or damaged are done again, so nothing here has to be whole. It is removed once the image is committed.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from nucbatch.core.errors import ImageUnavailable, InputError, StoreError
from nucbatch.core.log_file import NOTE
from nucbatch.object_store import ObjectPath
from nucbatch.object_store.writing import delete, objects_below, put
from nucbatch.store.atomic import PARTIAL, write_bytes
from nucbatch.store.copy_run import is_inside
from nucbatch.store.run_folder import RunFolder

EVERY_S = 300.0
_MADE_AGAIN = frozenset({"blocks", "rows", "numbers", "converted", "image.zarr", "objects.json"})
_UNITS = "units.txt"
_SCRATCH = ".nucbatch/scratch"
_AT_ONCE = 8
_TOGETHER = 64
_AGAIN_NS = 60 * 10**9  # a file may get its name a while after it was written

_log = logging.getLogger(__name__)


class Unfinished:
    """Sends the probabilities of large images in progress; a context manager.

    Args:
        folder: the working folder.
        address: the run's address.
        every_s: interval between two rounds in seconds; an image is sent from its second round on.
    """

    def __init__(self, folder: RunFolder, address: ObjectPath, every_s: float = EVERY_S) -> None:
        self._folder, self._address, self._every_s = folder, address, every_s
        self._until_ns: dict[Path, int] = {}
        self._seen: set[Path] = set()
        self._stored: set[str] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._rounds, name="nucbatch-unfinished", daemon=True)

    def fetch(self, groups: Collection[str]) -> int:
        """Fetches what an earlier session has sent of images that have no intermediate files here.

        Args:
            groups: groups of the images that are not done; what is there of others is removed.

        Returns:
            Number of images of which something was fetched.

        Raises:
            InputError: the store refuses, or does not answer.
        """
        top = self._address / _SCRATCH
        start = len(top.key) + 1
        wanted: dict[str, list[str]] = {}
        others: list[str] = []
        for found in objects_below(top.bucket, top.key):
            name = found["path"][start:]
            group = next((group for group in _above(name) if group in groups), "")
            if not group:
                others.append(found["path"])
                continue
            self._stored.add(group)
            if is_inside(name) and not (self._folder.scratch / group / _UNITS).exists():
                wanted.setdefault(group, []).append(name)
        delete(top.bucket, others)

        def fetch_one(name: str) -> None:
            path = self._folder.scratch / name
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                write_bytes(path, (top / name).read_bytes(), durable=False)
            except (FileNotFoundError, ImageUnavailable) as error:
                _log.debug("%s is not fetched: %s", name, error)  # its unit is done again

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for names in wanted.values():
                # The record of units goes last: an image is fetched again if this is interrupted.
                list(pool.map(fetch_one, [name for name in names if not name.endswith(_UNITS)]))
                list(map(fetch_one, [name for name in names if name.endswith(_UNITS)]))
        return len(wanted)

    def send_new(self) -> None:
        """Sends files that are new since the last round, of images that were in progress at that time.

        Raises:
            InputError: the store refuses, or does not answer.
        """
        images = {path.parent for path in self._folder.scratch.rglob(_UNITS)}
        for image in sorted(images & self._seen):
            with self._lock, ThreadPoolExecutor(_AT_ONCE) as pool:
                self._stored.add(image.relative_to(self._folder.scratch).as_posix())
                since_ns = self._until_ns.get(image, 0)
                new = [
                    (path, time_ns) for path, time_ns in _files_of(image) if time_ns > since_ns - _AGAIN_NS
                ]
                new.sort(key=lambda one: one[0].name == _UNITS)  # the record goes last
                for begin in range(0, len(new), _TOGETHER):
                    if self._ended.is_set():
                        return
                    list(pool.map(self._send, [path for path, _ in new[begin : begin + _TOGETHER]]))
                self._until_ns[image] = max((time_ns for _, time_ns in new), default=since_ns)
        self._seen = images

    def forget(self, group: str) -> None:
        """Removes what was sent of an image that is done.

        Raises:
            InputError: the store refuses, or does not answer.
        """
        with self._lock:
            if group in self._stored:
                self._stored.remove(group)
                self._until_ns.pop(self._folder.scratch / group, None)
                _remove(self._address / _SCRATCH / group)

    def remove_all(self) -> None:
        """Removes everything that was sent, at the end of a run.

        Raises:
            InputError: the store refuses, or does not answer.
        """
        _remove(self._address / _SCRATCH)

    def _send(self, path: Path) -> None:
        place = self._address / path.relative_to(self._folder.path).as_posix()
        try:
            put(place.bucket, place.key, path)
        except FileNotFoundError:  # the image has just been finished
            return

    def _rounds(self) -> None:
        told = False
        while not self._ended.wait(self._every_s):
            try:
                self.send_new()
            except (InputError, StoreError, OSError) as error:
                if not told:
                    _log.warning("Large images in progress are not sent: %s", error, extra=NOTE)
                told = True

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()


def _above(name: str) -> Iterator[str]:
    """Yields the folders above a file, of a name with parts divided by ``/``."""
    parts = name.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts)))


def _files_of(image: Path) -> Iterator[tuple[Path, int]]:
    """Yields the files of an image that are worth to be kept, with their times in ns."""
    for where, folders, names in os.walk(image):
        if Path(where) == image:
            folders[:] = [name for name in folders if name not in _MADE_AGAIN]
        for name in names:
            path = Path(where, name)
            if name in _MADE_AGAIN or name.endswith(PARTIAL):
                continue
            try:
                yield path, path.stat().st_mtime_ns
            except FileNotFoundError:
                continue


def _remove(place: ObjectPath) -> None:
    delete(place.bucket, [one["path"] for one in objects_below(place.bucket, place.key)])
