"""The driver: submits fields in a rolling window, writes the ledger, and counts what came back.

The decision owned here: the driver alone writes the ledger, one line per receipt as it arrives, and never
holds more futures than the window. What is already committed and still there is not done again.
"""

from __future__ import annotations

import errno
import traceback
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from distributed import Future, KilledWorker, as_completed

from nucbatch.errors import StoreError, WeightsError
from nucbatch.execution.block import FieldTask, failed, process_field
from nucbatch.planning.plan import Plan
from nucbatch.plate import Field
from nucbatch.readers.pixels import field_channels
from nucbatch.schedulers.contract import Cluster
from nucbatch.store.folder import RunFolder
from nucbatch.store.ledger import Ledger, Receipt, latest
from nucbatch.store.verify import fragment_holds, group_is_whole, labels_hold

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
    """Fields that were done, and that failed, in one sitting."""

    done: int
    failed: int


def committed(plan: Plan, folder: RunFolder) -> dict[str, Receipt]:
    """The receipts, by key, of the plan's fields that need not be done again."""
    receipts = latest(folder)
    return {
        field.key: receipts[field.key]
        for field in plan.usable
        if field.key in receipts and _stands(folder, plan, field, receipts[field.key])
    }


def drive(
    plan: Plan,
    held: Container[str],
    folder: RunFolder,
    ledger: Ledger,
    cluster: Cluster,
    weights: str,
    progress: Progress,
) -> Outcome:
    """Runs every usable field of the plan whose key is not ``held``.

    Raises:
        StoreError: the run's folder can't be written; what is committed stays, and the same command goes on.
        WeightsError: the weight file is not what it was when the run was prepared.
    """
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
        for field in plan.usable
        if field.key not in held
    )
    counts = {"done": 0, "failed": 0}
    for receipt in _receipts(tasks, cluster):
        ledger.append(receipt)
        counts[receipt.status] += 1
        progress.advance(receipt)
    return Outcome(counts["done"], counts["failed"])


def _stands(folder: RunFolder, plan: Plan, field: Field, receipt: Receipt) -> bool:
    """Whether what the field's task committed is there: fragment and labels by digest, a TIFF by name."""
    kept = plan.settings.labels
    zarr_stands = kept == "tiff" or (
        group_is_whole(folder.store(plan.plate.is_plate), field.group) and labels_hold(folder, receipt)
    )
    tiff_stands = kept == "zarr" or folder.label_tiff(field.name).is_file()
    return fragment_holds(folder, receipt) and zarr_stands and tiff_stands


def _receipts(tasks: Iterator[FieldTask], cluster: Cluster) -> Iterator[Receipt]:
    """Receipts in the order in which fields come back, with a bounded number of tasks under way."""
    window = cluster.workers * cluster.threads_per_worker * _TASKS_AHEAD
    running: dict[str, FieldTask] = {}
    finished = as_completed()

    def submit_next() -> None:
        task = next(tasks, None)
        if task is not None:
            # Dask's own key is unique: fields of two runs that share a scheduler may have the same names.
            future = cluster.client.submit(process_field, task, pure=False)
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
    if isinstance(error, StoreError | WeightsError):  # with this folder or model no other field fares better
        raise error
    _note(task, error, future.traceback())
    return failed(task.field, f"{type(error).__name__}: {error} (traceback in .nucbatch/logs/failures.log)")


def _note(task: FieldTask, error: BaseException, trace: TracebackType) -> None:
    """Keeps an unforeseen error's traceback, which a table has no room for, with the run."""
    lines = traceback.format_exception(type(error), error, trace)
    with (task.folder.logs / "failures.log").open("a", encoding="utf-8") as file:
        file.write(f"{task.field.key}\n{''.join(lines)}\n")
