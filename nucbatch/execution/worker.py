"""Runs work on a worker process, and ends the process before its memory runs out.

A worker that is out of memory writes the keys of its running work to the run's folder and exits. So the
driver can tell running out of memory from a crash. It handles the work like that of any worker that died.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import psutil
from distributed import get_worker

from nucbatch.execution.worker_log import logged_as
from nucbatch.store.run_folder import RunFolder

MOST_OF_MEMORY = 0.95
"""Fraction of its memory limit that a worker may use; Dask's nanny kills at the same fraction."""

_log = logging.getLogger(__name__)

_EVERY_S = 0.05
_OUT_OF_MEMORY = 137
"""Exit code, equal to that of a process that the kernel kills when memory runs out."""


class Work(Protocol):
    """A task for a worker: picklable, small and idempotent."""

    @property
    def key(self) -> str:
        """The work's unique name in the run."""
        ...

    @property
    def folder(self) -> RunFolder:
        """The run's folder."""
        ...

    def run(self) -> Any:
        """Runs the work on the worker, and returns its result for the driver."""
        ...


def perform(works: Sequence[Work]) -> list[tuple[Any, float]]:
    """Runs pieces of work on a worker, one after the other, with the memory guard and the run's log.

    Returns:
        The outcome of each and the seconds that it took. If one of several pieces raises an error, those of
        the pieces before it: the driver sends the others again, each by itself.
    """
    outcomes: list[tuple[Any, float]] = []
    for work in works:
        with _memory_guard().over(work), logged_as(work.key, work.folder):
            started = time.perf_counter()
            try:
                outcome = work.run()
            except Exception as error:
                if len(works) == 1:
                    raise
                _log.debug("To be repeated by itself: %r", error)
                break
            seconds = time.perf_counter() - started
            outcomes.append((outcome, seconds))
            _log.debug("Done in %.3f s", seconds)
    return outcomes


def ran_out_of_memory(folder: RunFolder, key: str) -> str:
    """Returns the memory used when a worker ran out of it during some work, as text; empty if none did."""
    said = ""
    if _notes(folder).exists():
        for line in _notes(folder).read_text(encoding="utf-8").splitlines():
            if not line.endswith("}"):  # truncated by a full disk
                continue
            note = json.loads(line)
            if key in note["work"]:
                said = f"{note['used_bytes'] / 2**30:.1f} of {note['limit_bytes'] / 2**30:.1f} GiB"
    return said


class MemoryGuard:
    """Ends this process when its memory use nears the limit while work is running.

    ``limit_bytes``: 0 turns the guard off, for processes that no nanny would restart.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._in_hand: dict[int, Work] = {}  # by thread
        if limit_bytes:
            threading.Thread(target=self._watch, name="nucbatch-memory", daemon=True).start()

    @contextmanager
    def over(self, work: Work) -> Iterator[None]:
        """Registers work as running while the context lasts."""
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
        finally:  # also if the note can't be written, for example on a full disk
            os._exit(_OUT_OF_MEMORY)

    def _note(self, used_bytes: int) -> None:
        works = list(self._in_hand.values())
        _log.error(
            "Out of memory: %d of %d bytes are used; the worker ends while it runs these blocks: %s",
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
    """Returns this process' memory guard."""
    with _ONE_AT_A_TIME:  # a worker's first tasks start at the same time
        return _made_guard()


@cache
def _made_guard() -> MemoryGuard:
    try:
        worker = get_worker()
    except ValueError:  # called directly, not in a Dask worker
        return MemoryGuard(0)
    limit = worker.memory_manager.memory_limit
    return MemoryGuard(int(limit) if limit and worker.nanny else 0)


def _notes(folder: RunFolder) -> Path:
    return folder.logs / "memory.jsonl"
