"""Collects the log records of worker processes into the session's log.

Each worker appends its records at once to a file of its own,
``.nucbatch/logs/workers/<machine>-<process>.jsonl``, so that those of a killed worker are kept. The driver
moves them into the session's log every few seconds and at the end; after a killed driver, the next session
does. This works with every scheduler, because all workers see the run's folder. Workers record WARNING and
above, and with ``--verbose`` all of nucbatch's records.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import threading
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from distributed import Client, Worker, WorkerPlugin

from nucbatch.core.log_file import PROJECT, LogFile, sent_to
from nucbatch.schedulers.contract import Cluster
from nucbatch.store.run_folder import RunFolder

_log = logging.getLogger(__name__)

_ANSWER_S = 30.0
"""Timeout for starting or stopping the log on workers."""

_MOST_PER_LOGGER = 200
"""Most records of one library's logger per worker; a library may warn about each of a million images."""

_LONGEST = 4000
"""Most characters of a message; Dask quotes whole arguments."""

_in_hand = threading.local()


@contextmanager
def logged_as(key: str, folder: RunFolder) -> Iterator[None]:
    """Assigns the log records of this thread to the work of this key in this run while the context lasts."""
    _in_hand.work = key, folder.path
    try:
        yield
    finally:
        _in_hand.work = None


def _work_in_hand() -> tuple[str, Path] | None:
    """Returns the key of this thread's work and its run's folder; None between work."""
    work: tuple[str, Path] | None = getattr(_in_hand, "work", None)
    return work


class WorkerLogs:
    """Runs in the driver: makes workers write their log records, and moves these into the session's log."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder.logs / "workers"
        self._read: dict[Path, int] = {}

    def __enter__(self) -> WorkerLogs:
        self.collect()  # records left by a killed session
        return self

    def __exit__(self, *error: object) -> None:
        self.collect()
        for path in self._paths():
            path.unlink(missing_ok=True)
        if self._folder.is_dir() and not any(self._folder.iterdir()):
            self._folder.rmdir()

    @contextmanager
    def of(self, cluster: Cluster) -> Iterator[Cluster]:
        """Makes all workers, including later ones, write their records while the context lasts.

        Yields the cluster; its watch now also moves the records into the log.
        """
        client = cluster.client
        level = logging.getLogger(PROJECT).getEffectiveLevel()
        plugin = _Logs(self._folder, level if level < logging.INFO else logging.WARNING)
        _within_time(client, lambda: client.register_plugin(plugin))
        client.subscribe_topic("all", _log_change)
        _log.info(
            "Workers: up to %d, %d blocks at once each, %.1f GiB each",
            cluster.workers,
            cluster.threads_per_worker,
            cluster.worker_bytes / 2**30,
        )

        def watch() -> None:
            self.collect()
            cluster.watch()

        try:
            yield replace(cluster, watch=watch)
        finally:
            if client.status == "running":
                client.unsubscribe_topic("all")
            stays = cluster.stays or client.cluster is None
            if client.status == "running" and stays:
                _within_time(client, lambda: client.unregister_worker_plugin(plugin.name))

    def collect(self) -> None:
        """Moves new records into the session's log."""
        for path in self._paths():
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                whole, _, _ = file.read().rpartition(b"\n")  # the last line may not be there in full yet
            self._read[path] = self._read.get(path, 0) + len(whole) + bool(whole)
            for line in filter(None, whole.split(b"\n")):
                try:
                    record = logging.makeLogRecord(json.loads(line))
                except ValueError:  # truncated by a full disk
                    continue
                logger = logging.getLogger(record.name)
                if logger.isEnabledFor(record.levelno):
                    logger.handle(record)

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("*.jsonl"))


def _within_time(client: Client, call: Callable[[], Any]) -> None:
    try:
        client.sync(call, callback_timeout=_ANSWER_S)
    except (OSError, TimeoutError) as error:  # the run can continue without these logs
        _log.info("Some workers did not start or stop their log: %s", error or "no answer in time")


def _log_change(event: tuple[float, dict[str, Any]]) -> None:
    """Logs that a worker has joined or left, from the events of Dask's scheduler."""
    _, change = event
    if change["action"] == "add-worker":
        _log.info("Worker %s has joined", change["worker"])
    elif change["action"] == "remove-worker":
        blocks = len(change["processing-tasks"])
        lost = not change["expected"]
        _log.log(
            logging.WARNING if lost else logging.INFO,
            "Worker %s %s; other workers take its blocks: %d",
            change["worker"],
            "is lost" if lost else "has left",
            blocks,
            extra={"shown": True, "in_report": True},
        )


class _Logs(WorkerPlugin):  # type: ignore[misc]  # distributed has no types here
    """Makes a worker process write its records; a worker inside the driver's process logs there already."""

    def __init__(self, folder: Path, level: int) -> None:
        self.name = f"nucbatch-log-{uuid4().hex}"
        self._folder, self._level = folder, level
        self._driver = socket.gethostname(), os.getpid()

    def setup(self, worker: Worker) -> None:
        self._undo = ExitStack()
        here = socket.gethostname(), os.getpid()
        if here == self._driver:
            return
        path = self._folder / (re.sub(r"[^A-Za-z0-9.-]", "_", here[0]) + f"-{here[1]}.jsonl")
        handler = _WorkerLog(path, f"worker:{worker.name}@{here[0]}", self._level)
        project = logging.getLogger(PROJECT)
        if self._level < project.getEffectiveLevel():
            self._undo.callback(project.setLevel, project.level)
            project.setLevel(self._level)
        self._undo.enter_context(sent_to(handler))
        before = warnings.showwarning
        logging.captureWarnings(True)
        if warnings.showwarning is not before:
            self._undo.callback(logging.captureWarnings, False)

    def teardown(self, worker: Worker) -> None:
        self._undo.close()


class _WorkerLog(LogFile):
    """Appends records to a worker's file, a limited number from each library's logger."""

    def __init__(self, path: Path, worker: str, level: int) -> None:
        super().__init__(path, _RecordAsJson(worker))
        self.setLevel(level)
        self._run = path.parents[3]
        self._count: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        work = _work_in_hand()
        if work is not None and work[1] != self._run:
            return  # the record belongs to another run on the same workers
        if record.name.partition(".")[0] != PROJECT:
            self._count[record.name] += 1
            if self._count[record.name] > _MOST_PER_LOGGER:
                return
        super().emit(record)


class _RecordAsJson(logging.Formatter):
    """Formats a record as one line of JSON, complete for the driver's log."""

    def __init__(self, worker: str) -> None:
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        work = _work_in_hand()
        text = record.getMessage()[:_LONGEST]
        trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else None
        return json.dumps(
            {
                "name": record.name,
                "levelno": record.levelno,
                "levelname": record.levelname,
                "created": record.created,
                "worker": f"{self._worker}[{record.process}]",
                "msg": text if work is None else f"{work[0]}: {text}",
                "exc_text": trace,
            }
        )
