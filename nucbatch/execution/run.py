"""A run's sitting: what is still to be done is driven, and its receipts go into the ledger as they arrive.

The decision owned here: when a sitting ends before everything is done. Asked to leave, it hands out nothing
more and commits what is under way; with ``fail_fast``, it does so after the first field that failed.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from nucbatch.core.errors import FieldFailed
from nucbatch.core.log_file import SHOWN
from nucbatch.core.signals import Stopped, StopSignal
from nucbatch.execution.driver import Driver, Progress
from nucbatch.execution.work_queue import Todo
from nucbatch.schedulers.contract import Cluster
from nucbatch.store.ledger import Ledger
from nucbatch.store.receipt import Receipt

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Fields that were done, and that failed, in one sitting."""

    done: int
    failed: int

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(self.done + other.done, self.failed + other.failed)


def drive(
    todo: Todo,
    ledger: Ledger,
    cluster: Cluster,
    progress: Progress,
    notice: StopSignal,
    *,
    fail_fast: bool = False,
) -> Outcome:
    """Does everything that is to be done.

    Raises:
        StoreError: the run's folder can't be written; what is committed stays, and the same command goes on.
        WeightsError: the weight file is not what it was when the run was prepared. PrecisionError: the
            workers' devices lack the one that was asked for.
        SchedulerError: the cluster can't go on. FieldFailed: one did, with ``fail_fast``.
        Stopped: a signal asked to leave; what was under way is committed.
    """
    counts = {"done": 0, "failed": 0}
    culprit: Receipt | None = None
    driver = Driver(cluster, todo, progress, lambda: bool(notice.signal) or culprit is not None)
    try:
        for receipts in driver.receipts():
            ledger.append(*receipts)
            for receipt in receipts:
                counts[receipt.status] += 1
                progress.advance(receipt)
                _log_receipt(receipt, sum(counts.values()))
                if fail_fast and receipt.status == "failed":
                    culprit = culprit or receipt
    finally:
        driver.close()
    if culprit is not None:
        raise FieldFailed(
            f"field {culprit.field} failed: {culprit.reason}. The run ends there, as --fail-fast asks; "
            "without it, the same command does the other fields."
        )
    if notice.signal:
        raise Stopped(notice.signal, counts["done"] + counts["failed"], "fields in this sitting")
    return Outcome(counts["done"], counts["failed"])


def _log_receipt(receipt: Receipt, number: int) -> None:
    """Logs a failure with its reason, every hundredth field that came back, and all of them at DEBUG."""
    if receipt.status == "failed":
        _log.error("Field %s failed: %s", receipt.field, receipt.reason, extra=SHOWN)
    else:
        _log.debug("Field %s is done on %s: %d nuclei", receipt.field, receipt.worker, receipt.nuclei)
    if number % 100 == 0:
        _log.info("%d fields have come back in this session", number)
