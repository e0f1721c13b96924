"""The driver: submits fields in a rolling window, writes the ledger, and counts what came back.

The decision owned here: the driver alone writes the ledger, one line per receipt as it arrives, and never
holds more futures than the window. What is already committed and still there is not done again.
"""

from __future__ import annotations

import errno
import logging
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from distributed import Future, KilledWorker, as_completed

from nucbatch.errors import NucbatchError, StoreError
from nucbatch.execution.block import FieldTask, failed, process_field
from nucbatch.planning.plan import Plan
from nucbatch.readers.pixels import field_channels
from nucbatch.schedulers.contract import Cluster
from nucbatch.store.folder import RunFolder
from nucbatch.store.ledger import Ledger, Receipt, latest
from nucbatch.store.verify import fragment_holds

_log = logging.getLogger(__name__)
_TASKS_AHEAD = 2
"""Submitted tasks per worker thread: one runs, one waits, so that no thread waits for the driver."""
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


class Progress(Protocol):
    """Told of a run's course."""

    def begin(self, total: int, committed: Iterable[Receipt]) -> None:
        """``total`` fields are to be done in all, of which those of ``committed`` are."""
        ...

    def advance(self, receipt: Receipt) -> None:
        """One more field came back."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """Fields that were done in this call, that failed in it, and that were committed before."""

    done: int
    failed: int
    committed: int


def drive(
    plan: Plan, folder: RunFolder, ledger: Ledger, cluster: Cluster, weights: str, progress: Progress
) -> Outcome:
    """Runs every field of the plan that the ledger does not hold.

    Raises:
        StoreError: the run's folder can't be written; what is committed stays, and the same command goes on.
    """
    committed = {key: receipt for key, receipt in latest(folder).items() if fragment_holds(folder, receipt)}
    keys = {field.key for field in plan.usable}
    held = [receipt for key, receipt in committed.items() if key in keys]
    progress.begin(len(keys), held)
    waiting = deque(field for field in plan.usable if field.key not in committed)
    tasks = (
        FieldTask(
            plan.plate.name,
            plan.plate.root,
            plan.plate.is_plate,
            field,
            field_channels(plan.plate, field),
            folder,
            plan.settings,
            weights,
        )
        for field in waiting
    )
    counts = {"done": 0, "failed": 0}
    for receipt in _receipts(tasks, cluster):
        ledger.append(receipt)
        counts[receipt.status] += 1
        progress.advance(receipt)
    return Outcome(counts["done"], counts["failed"], len(held))


def _receipts(tasks: Iterator[FieldTask], cluster: Cluster) -> Iterator[Receipt]:
    """Receipts in the order in which fields come back, with a bounded number of tasks under way."""
    window = cluster.workers * cluster.threads_per_worker * _TASKS_AHEAD
    running: dict[str, FieldTask] = {}
    finished = as_completed()

    def submit_next() -> None:
        task = next(tasks, None)
        if task is not None:
            future = cluster.client.submit(process_field, task, pure=False, key=f"field-{task.field.key}")
            running[future.key] = task
            finished.add(future)

    for _ in range(window):
        submit_next()
    while running:
        future = next(finished)
        task = running.pop(future.key)
        receipt = _receipt_of(future, task)
        future.release()
        submit_next()
        yield receipt


def _receipt_of(future: Future, task: FieldTask) -> Receipt:
    """The task's receipt; one of a failed field where the task raised."""
    if future.status == "finished":
        receipt: Receipt = future.result()
        return receipt
    error = future.exception()
    if isinstance(error, KilledWorker):
        return failed(task.field, "its worker process died each time it was tried")
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        raise StoreError(
            f"{task.folder.path} can't be written: {error.strerror or error}. Make room or give write "
            "permission, then give the same command again: what is done is kept."
        ) from error
    if isinstance(error, NucbatchError):
        raise error
    _log.error("field %s failed", task.field.key, exc_info=error)
    return failed(task.field, f"{type(error).__name__}: {error}")
