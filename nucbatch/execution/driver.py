"""The driver: keeps the rolling window of work full and turns results into receipts in the ledger.

Only the window, and which units of large images are done, are held in memory. A large image is processed as
many units and ends with one receipt, like a field. A few images are in progress at once, so that one starts
while another finishes. Work whose worker died is set aside until nothing else runs, then retried alone; if it
fails again, it is taken for the cause.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from nucbatch.core.errors import DamagedFile, FieldFailed
from nucbatch.core.log_file import NOTE, SHOWN
from nucbatch.core.signals import Stopped, StopSignal
from nucbatch.execution.bundling import Bundling
from nucbatch.execution.check import CheckResult, CheckTask
from nucbatch.execution.chosen_kind import resource_for
from nucbatch.execution.field_task import FieldTask, failed
from nucbatch.execution.large.image import LargeImage
from nucbatch.execution.large.image_progress import ImageProgress
from nucbatch.execution.large.scale_task import MeasuredScale, ScaleTask
from nucbatch.execution.large.stages import PREDICT, stages_of
from nucbatch.execution.large.unit import UnitDone, UnitTask
from nucbatch.execution.run_progress import Progress
from nucbatch.execution.task_errors import is_suspect, problem_of
from nucbatch.execution.window import Window, WorkResult
from nucbatch.schedulers.contract import Cluster
from nucbatch.store.ledger import Ledger
from nucbatch.store.receipt import Receipt

_MOST_IN_PROGRESS = 2

_log = logging.getLogger(__name__)

Task = FieldTask | UnitTask | CheckTask | ScaleTask


class Source(Protocol):
    """A queue of work for the driver; each ``next_`` method returns None if there is no such work now."""

    @property
    def verify(self) -> bool:
        """Whether checks read every file, instead of comparing sizes and times only."""
        ...

    @property
    def waiting(self) -> int:
        """Number of fields and images that were not taken yet."""
        ...

    def next_field(self) -> FieldTask | None: ...

    def next_image(self) -> LargeImage | ScaleTask | None: ...

    def next_check(self) -> CheckTask | None: ...

    def accept_check(self, check: CheckTask, checked: CheckResult) -> list[Receipt]:
        """Queues the fields that failed a check again, and returns their receipts, now invalid."""
        ...


class Driver:
    """Submits fields, units of large images and checks to a cluster, and collects their results.

    Args:
        cluster: where work runs.
        source: the queue of work.
        progress: reports to the user.
        leaving: returns True once nothing more should be submitted; running work is always awaited.
        kind: numeric kind in which a worker must compute to get work for the network; empty: any.
    """

    def __init__(
        self,
        cluster: Cluster,
        source: Source,
        progress: Progress,
        leaving: Callable[[], bool],
        kind: str = "",
    ) -> None:
        self._window: Window[Task] = Window(cluster)
        self._bundling = Bundling(self._window.room)
        self._most_predicting = max(2 * cluster.workers, self._window.room // 2)
        self._source, self._progress, self._leaving, self._kind = source, progress, leaving, kind
        self._in_progress: dict[str, ImageProgress] = {}
        self._under_way: dict[str, int] = {}
        self._measuring = 0
        self._ready: deque[LargeImage | ScaleTask] = deque()
        self._predicting = 0
        self._suspects: deque[Task] = deque()
        self._alone: Task | None = None

    def receipts(self) -> Iterator[list[Receipt]]:
        """Yields the receipts of fields and images as they finish; a list may be empty."""
        while True:
            self._fill()
            if not len(self._window):
                return
            yield self._accept(self._window.next_batch())

    def close(self) -> None:
        """Closes the records of images in progress."""
        for image_progress in self._in_progress.values():
            image_progress.close()
        self._in_progress.clear()

    def _fill(self) -> None:
        if self._leaving() or self._alone is not None:
            return
        together = self._bundling.size(self._source.waiting)
        fields: list[Task] = []  # several to a task
        urgent: list[Task] = []  # units of large images, but for the network's
        patient: list[Task] = []
        for_network: list[Task] = []
        for _ in range(self._window.room - len(self._window)):
            work = self._next()
            if work is None:
                break
            if isinstance(work, FieldTask):
                fields += [work, *islice(iter(self._source.next_field, None), together - 1)]
            elif _needs_network(work):
                for_network.append(work)
            else:
                (urgent if isinstance(work, UnitTask) else patient).append(work)
        of_kind = resource_for(self._kind)
        self._window.submit(urgent, priority=1)
        self._window.submit(fields, together=together, resources=of_kind)
        self._window.submit(for_network, resources=of_kind)
        self._window.submit(patient)
        if not len(self._window) and self._suspects:
            self._alone = self._suspects.popleft()
            kind = self._kind if _needs_network(self._alone) else ""
            self._window.submit([self._alone], resources=resource_for(kind))

    def _next(self) -> Task | None:
        field = self._source.next_field()
        if field is not None:
            return field
        while True:
            for image_progress in self._in_progress.values():
                unit = image_progress.next(predict=self._predicting < self._most_predicting)
                if unit is not None:
                    self._under_way[image_progress.image.field.key] += 1
                    self._predicting += unit.stage == PREDICT.name
                    return unit
            image = self._next_image()
            if image is None:
                return self._source.next_check()
            if isinstance(image, ScaleTask):
                self._measuring += 1
                return image
            self._in_progress[image.field.key] = ImageProgress(image, verify=self._source.verify)
            self._under_way[image.field.key] = 0

    def _next_image(self) -> LargeImage | ScaleTask | None:
        """Returns the next image to start or to measure, if few enough are in progress."""
        if len(self._in_progress) < _MOST_IN_PROGRESS and self._ready:
            return self._ready.popleft()
        begun = len(self._in_progress) + len(self._ready) + self._measuring
        return self._source.next_image() if begun < _MOST_IN_PROGRESS else None

    def _accept(self, results: list[WorkResult[Task]]) -> list[Receipt]:
        """Processes results, and returns the receipts of fields and finished images."""
        receipts: list[Receipt] = []
        units: dict[str, list[WorkResult[Task]]] = {}
        for one in results:
            tried_alone = one.work is self._alone
            self._alone = None if tried_alone else self._alone
            if is_suspect(one) and not tried_alone:
                self._suspects.append(one.work)
                _log.warning("%s will be tried again alone: %s", one.work.key, one.error, extra=SHOWN)
            elif isinstance(one.work, UnitTask):
                units.setdefault(one.work.image.field.key, []).append(one)
            elif isinstance(one.work, FieldTask):
                receipts.append(self._receipt_of(one))
            elif isinstance(one.work, ScaleTask):
                receipts += self._take_measured(one, one.work.image)
            else:
                self._take_check(one, one.work)
        for key, some in units.items():
            receipts += self._advance(self._in_progress[key], some)
        return receipts

    def _receipt_of(self, result: WorkResult[Any]) -> Receipt:
        """Returns a field's receipt, or that of a failed field if the task raised an error."""
        if result.error is not None:
            return failed(result.work.field, problem_of(result, result.work.field.key))
        receipt: Receipt = result.outcome
        self._bundling.note(result.seconds)
        return receipt

    def _take_measured(self, result: WorkResult[Task], image: LargeImage) -> list[Receipt]:
        """Queues an image whose scale was measured; returns a receipt if measuring failed."""
        self._measuring -= 1
        measured: MeasuredScale | None = result.outcome
        if measured is None:
            return [failed(image.field, problem_of(result, image.field.key))]
        if measured.problem:
            whole = image.without_damaged(measured.damaged, measured.problem)
            if whole is None:
                return [failed(image.field, measured.problem)]
            self._start_over(ScaleTask(whole), measured.problem)
            return []
        if measured.note:
            _log.warning(measured.note, extra=NOTE)
        self._ready.append(measured.image)
        return []

    def _take_check(self, result: WorkResult[Task], check: CheckTask) -> None:
        """Queues fields again that failed their check or could not be checked."""
        checked: CheckResult = result.outcome or CheckResult(
            dict.fromkeys(check.keys, f"can't be checked ({result.error})")
        )
        for receipt in self._source.accept_check(check, checked):
            why = checked.wrong[receipt.field]
            _log.warning("%s is done again: %s", receipt.field, why, extra=SHOWN)
            self._progress.again(receipt, why)

    def _advance(self, image_progress: ImageProgress, results: list[WorkResult[Any]]) -> list[Receipt]:
        """Commits units of an image; returns its receipt if it is finished."""
        key = image_progress.image.field.key
        self._under_way[key] -= len(results)
        self._predicting -= sum(one.work.stage == PREDICT.name for one in results)
        outcomes: list[UnitDone] = [done for one in results if one.error is None for done in one.outcome]
        image_progress.accept(outcomes)
        for outcome in outcomes:
            if outcome.note:
                _log.warning(outcome.note, extra=NOTE)
        for one in results:
            if isinstance(one.error, DamagedFile):
                image_progress.doubt(one.error)
            elif one.error is not None:
                image_progress.problem = image_progress.problem or problem_of(one, key)
        if not self._under_way[key] and not image_progress.problem:
            image_progress.mend()
        done, units = image_progress.units
        doing = stages_of(image_progress.image)[results[-1].work.stage].doing
        _log.debug("Image %s: %d of %d units done, %s", key, done, units, doing)
        self._progress.advance_image(image_progress.image.field.name, doing, done, units)
        if not image_progress.finished or self._under_way[key]:
            return []
        del self._in_progress[key]
        if image_progress.problem:
            image_progress.close()
            whole = image_progress.image.without_damaged(image_progress.damaged, image_progress.problem)
            if whole is None:
                return [failed(image_progress.image.field, image_progress.problem)]
            self._start_over(whole, image_progress.problem)
            return []
        return [image_progress.receipt()]

    def _start_over(self, image: LargeImage | ScaleTask, problem: str) -> None:
        """Queues an image again that lost a damaged channel."""
        _log.info("%s; done without this channel", problem)
        self._ready.append(image)


def _needs_network(work: Task) -> bool:
    """Tells whether work runs the network, if the run has one."""
    if isinstance(work, UnitTask):
        return work.stage == PREDICT.name
    return not isinstance(work, CheckTask)


@dataclass(frozen=True, slots=True)
class SessionOutcome:
    """Numbers of fields in one session: done, failed, and done with the network."""

    done: int
    failed: int
    predicted: int = 0

    def __add__(self, other: SessionOutcome) -> SessionOutcome:
        return SessionOutcome(
            self.done + other.done, self.failed + other.failed, self.predicted + other.predicted
        )


def drive(
    source: Source,
    ledger: Ledger,
    cluster: Cluster,
    progress: Progress,
    stop: StopSignal,
    *,
    fail_fast: bool = False,
    kind: str = "",
    begun: Callable[[], None] = lambda: None,
) -> SessionOutcome:
    """Processes all queued work, and appends receipts to the ledger as they arrive.

    After a signal, or with ``fail_fast`` after the first failed field, nothing more is submitted and the
    running work is committed. ``kind`` is the numeric kind in which a worker must compute to get work for the
    network; empty: any. ``begun`` is called once the first field is committed.

    Raises:
        StoreError: the run's folder can't be written; committed work is kept and the run can be resumed.
        WeightsError: the weight file has changed since the run was prepared.
        PrecisionError: the workers' devices do not support the precision.
        SchedulerError: the cluster failed. FieldFailed: a field failed, with ``fail_fast``.
        Stopped: a signal arrived; the running work is committed.
    """
    counts, predicted = {"done": 0, "failed": 0}, 0
    culprit: Receipt | None = None
    driver = Driver(cluster, source, progress, lambda: bool(stop.signal) or culprit is not None, kind)
    try:
        for receipts in driver.receipts():
            ledger.append(*receipts)
            if receipts and not any(counts.values()):
                begun()
            for receipt in receipts:
                counts[receipt.status] += 1
                predicted += "network" in receipt.seconds
                progress.advance(receipt)
                _log_receipt(receipt, sum(counts.values()))
                if fail_fast and receipt.status == "failed":
                    culprit = culprit or receipt
    finally:
        driver.close()
    if culprit is not None:
        raise FieldFailed(
            f"field {culprit.field} failed: {culprit.reason}. The run stops because of --fail-fast; without "
            "it, the same command processes the other fields."
        )
    if stop.signal:
        raise Stopped(stop.signal, counts["done"] + counts["failed"], "fields in this session")
    return SessionOutcome(counts["done"], counts["failed"], predicted)


def _log_receipt(receipt: Receipt, number: int) -> None:
    """Logs a failure with its reason, the count at every hundredth field, and every field at DEBUG."""
    if receipt.status == "failed":
        _log.error("Field %s failed: %s", receipt.field, receipt.reason, extra=SHOWN)
    else:
        _log.debug("Field %s is done on %s: %d nuclei", receipt.field, receipt.worker, receipt.nuclei)
    if number % 100 == 0:
        _log.info("%d fields finished in this session", number)
