"""What a worker process does with a piece of work, and its watch over its own memory.

The decision owned here: a worker whose memory runs out ends itself, after a line in the run's folder that
says which work was in hand. So running out of memory is told apart from a crash, whoever would have killed
the process next; and the work in hand comes back to the driver as that of any worker that died.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import psutil
from distributed import get_worker

from nucbatch.execution.worker_log import logged_as
from nucbatch.store.folder import RunFolder

MOST_OF_MEMORY = 0.95
"""The share of its memory that a worker may use; Dask's own nanny kills at the same."""

_log = logging.getLogger(__name__)

_EVERY_S = 0.05
_OUT_OF_MEMORY = 137
"""Exit code, as of a process that the kernel kills for its memory."""


class Work(Protocol):
    """Something that a worker can do: picklable, small, and the same when it is done twice."""

    @property
    def key(self) -> str:
        """A name that no other work in the run has."""
        ...

    @property
    def folder(self) -> RunFolder:
        """The run's."""
        ...

    def run(self) -> Any:
        """Does it, on the worker."""
        ...


def perform(work: Work) -> Any:
    """What runs on a worker."""
    with _memory_guard().over(work), logged_as(work):
        started = time.perf_counter()
        outcome = work.run()
        _log.debug("Done in %.3f s", time.perf_counter() - started)
        return outcome


def ran_out_of_memory(folder: RunFolder, key: str) -> str:
    """How much a worker had used when it ended itself over some work, for people; empty if none did."""
    said = ""
    if _notes(folder).exists():
        for line in _notes(folder).read_text(encoding="utf-8").splitlines():
            if not line.endswith("}"):  # the disk was full
                continue
            note = json.loads(line)
            if key in note["work"]:
                said = f"{note['used_bytes'] / 2**30:.1f} of {note['limit_bytes'] / 2**30:.1f} GiB"
    return said


class MemoryGuard:
    """Watches this process' memory while it works.

    ``limit_bytes``: 0 watches nothing, because nobody would start the process again.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._in_hand: dict[int, Work] = {}  # by thread
        if limit_bytes:
            threading.Thread(target=self._watch, name="nucbatch-memory", daemon=True).start()

    @contextmanager
    def over(self, work: Work) -> Iterator[None]:
        """Work is in hand while the context lasts."""
        self._in_hand[threading.get_ident()] = work
        try:
            yield
        finally:
            del self._in_hand[threading.get_ident()]

    def _watch(self) -> None:
        process = psutil.Process()
        while True:
            time.sleep(_EVERY_S)
            used_bytes = process.memory_info().rss
            if used_bytes > MOST_OF_MEMORY * self._limit_bytes and self._in_hand:
                self._leave(used_bytes)

    def _leave(self, used_bytes: int) -> None:
        try:
            self._note(used_bytes)
        finally:  # also where no note can be written, because the disk is full as well
            os._exit(_OUT_OF_MEMORY)

    def _note(self, used_bytes: int) -> None:
        works = list(self._in_hand.values())
        _log.error(
            "Out of memory: %d of %d bytes are used; the worker ends, with these blocks in hand: %s",
            used_bytes,
            self._limit_bytes,
            ", ".join(work.key for work in works),
        )
        note = {
            "work": [work.key for work in works],
            "used_bytes": used_bytes,
            "limit_bytes": self._limit_bytes,
            "pid": os.getpid(),
        }
        line = (json.dumps(note) + "\n").encode()
        for path in {_notes(work.folder) for work in works}:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            os.write(descriptor, line)
            os.close(descriptor)


_ONE_AT_A_TIME = threading.Lock()


def _memory_guard() -> MemoryGuard:
    """This process' own."""
    with _ONE_AT_A_TIME:  # a worker's first tasks begin together
        return _made_guard()


@cache
def _made_guard() -> MemoryGuard:
    try:
        worker = get_worker()
    except ValueError:  # not in a Dask worker: called directly
        return MemoryGuard(0)
    limit = worker.memory_manager.memory_limit
    return MemoryGuard(int(limit) if limit and worker.nanny else 0)


def _notes(folder: RunFolder) -> Path:
    return folder.logs / "memory.jsonl"
