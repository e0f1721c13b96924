"""The driver: keeps a rolling window of work full, and turns what comes back into receipts.

The decision owned here: nothing is held but the window and, of large images, which units are done. An image
of several blocks is a course of many units and, in the end, one receipt, as a field is; a few courses at
once, so that one may begin while another comes to its end. Work that went down with its worker is put aside
until nothing else is under way, and then tried alone: what goes down alone, too, is the culprit.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from nucbatch.core.errors import DamagedFile
from nucbatch.core.log_file import NOTE, SHOWN
from nucbatch.execution.block import FieldTask, failed
from nucbatch.execution.check import CheckTask, Looked
from nucbatch.execution.large.image import LargeImage
from nucbatch.execution.large.image_progress import Course
from nucbatch.execution.large.scale import Measured, ScaleTask
from nucbatch.execution.large.stages import PREDICT, stages_of
from nucbatch.execution.large.unit import UnitDone, UnitTask
from nucbatch.execution.task_errors import is_suspect, problem_of
from nucbatch.execution.window import Came, Window
from nucbatch.schedulers.contract import Cluster
from nucbatch.store.receipt import Receipt

_COURSES = 2

_log = logging.getLogger(__name__)

Task = FieldTask | UnitTask | CheckTask | ScaleTask


class Source(Protocol):
    """Where the driver's work comes from; each is None while there is none."""

    @property
    def verify(self) -> bool:
        """Whether every file of what is done is read, not only its size and time looked at."""
        ...

    def next_field(self) -> FieldTask | None: ...

    def next_image(self) -> LargeImage | ScaleTask | None: ...

    def next_check(self) -> CheckTask | None: ...

    def looked_at(self, check: CheckTask, looked: Looked) -> list[Receipt]:
        """Fields with something wrong will be done again; the receipts that don't count any more."""
        ...


class Progress(Protocol):
    """Told of a run's course."""

    def begin(self, total: int, committed: Iterable[Receipt]) -> None:
        """``total`` fields are to be done in all, of which those of ``committed`` are."""
        ...

    def advance(self, receipt: Receipt) -> None:
        """One more field came back."""
        ...

    def again(self, receipt: Receipt, why: str) -> None:
        """A field that was said to be done is not: it will come back."""
        ...

    def course(self, name: str, doing: str, done: int, units: int) -> None:
        """A large image is at a stage; so many of its units are done."""
        ...

    def note(self, sentence: str) -> None:
        """Something that the user should know."""
        ...


class Driver:
    """Fields, courses and checks, and what of them is under way.

    ``leaving`` is asked before anything more goes out; what is under way is always waited for.
    """

    def __init__(
        self, cluster: Cluster, source: Source, progress: Progress, leaving: Callable[[], bool]
    ) -> None:
        self._window: Window[Task] = Window(cluster)
        self._most_predicting = max(2 * cluster.workers, self._window.room // 2)
        self._source, self._progress, self._leaving = source, progress, leaving
        self._courses: dict[str, Course] = {}
        self._under_way: dict[str, int] = {}
        self._measuring = 0
        self._measured: deque[LargeImage] = deque()
        self._predicting = 0
        self._suspects: deque[Task] = deque()
        self._alone: Task | None = None

    def receipts(self) -> Iterator[list[Receipt]]:
        """What came of fields and images, as it comes; not every list has one."""
        while True:
            self._fill()
            if not len(self._window):
                return
            yield self._accept(self._window.next_batch())

    def close(self) -> None:
        """Ends the records of images that are not finished."""
        for course in self._courses.values():
            course.close()
        self._courses.clear()

    def _fill(self) -> None:
        if self._leaving() or self._alone is not None:
            return
        urgent: list[Task] = []
        patient: list[Task] = []
        while len(self._window) + len(urgent) + len(patient) < self._window.room:
            work = self._next()
            if work is None:
                break
            (urgent if isinstance(work, UnitTask) and work.stage != PREDICT.name else patient).append(work)
        self._window.submit(urgent, priority=1)
        self._window.submit(patient)
        if not len(self._window) and self._suspects:
            self._alone = self._suspects.popleft()
            self._window.submit([self._alone])

    def _next(self) -> Task | None:
        field = self._source.next_field()
        if field is not None:
            return field
        while True:
            for course in self._courses.values():
                unit = course.next(predict=self._predicting < self._most_predicting)
                if unit is not None:
                    self._under_way[course.image.field.key] += 1
                    self._predicting += unit.stage == PREDICT.name
                    return unit
            image = self._next_image()
            if image is None:
                return self._source.next_check()
            if isinstance(image, ScaleTask):
                self._measuring += 1
                return image
            self._courses[image.field.key] = Course(image, verify=self._source.verify)
            self._under_way[image.field.key] = 0

    def _next_image(self) -> LargeImage | ScaleTask | None:
        """The next image that may begin or be measured; a few at once."""
        if len(self._courses) < _COURSES and self._measured:
            return self._measured.popleft()
        begun = len(self._courses) + len(self._measured) + self._measuring
        return self._source.next_image() if begun < _COURSES else None

    def _accept(self, came: list[Came[Task]]) -> list[Receipt]:
        """What came back, sorted: receipts of fields, and of images that are finished by it."""
        receipts: list[Receipt] = []
        units: dict[str, list[Came[Task]]] = {}
        for one in came:
            tried_alone = one.work is self._alone
            self._alone = None if tried_alone else self._alone
            if is_suspect(one) and not tried_alone:
                self._suspects.append(one.work)
                _log.warning("%s will be tried again alone: %s", one.work.key, one.error, extra=SHOWN)
            elif isinstance(one.work, UnitTask):
                units.setdefault(one.work.image.field.key, []).append(one)
            elif isinstance(one.work, FieldTask):
                receipts.append(_receipt_of(one))
            elif isinstance(one.work, ScaleTask):
                receipts += self._take_measured(one, one.work.image)
            else:
                self._look_at(one, one.work)
        for key, some in units.items():
            receipts += self._advance(self._courses[key], some)
        return receipts

    def _take_measured(self, came: Came[Task], image: LargeImage) -> list[Receipt]:
        """Takes up an image whose scale is known now; a receipt if it can't be."""
        self._measuring -= 1
        measured: Measured | None = came.outcome
        if measured is None:
            return [failed(image.field, problem_of(came, image.field.key))]
        if measured.problem:
            return [failed(image.field, measured.problem)]
        if measured.note:
            _log.warning(measured.note, extra=NOTE)
        self._measured.append(measured.image)
        return []

    def _look_at(self, came: Came[Task], check: CheckTask) -> None:
        """Has fields done again that did not pass their check, or that could not be checked."""
        looked: Looked = came.outcome or Looked(dict.fromkeys(check.keys, f"can't be checked ({came.error})"))
        for receipt in self._source.looked_at(check, looked):
            why = looked.wrong[receipt.field]
            _log.warning("%s is done again: %s", receipt.field, why, extra=SHOWN)
            self._progress.again(receipt, why)

    def _advance(self, course: Course, came: list[Came[Any]]) -> list[Receipt]:
        """Commits units of an image; its receipt, if it is through with it."""
        key = course.image.field.key
        self._under_way[key] -= len(came)
        self._predicting -= sum(one.work.stage == PREDICT.name for one in came)
        outcomes: list[UnitDone] = [done for one in came if one.error is None for done in one.outcome]
        course.accept(outcomes)
        for outcome in outcomes:
            if outcome.note:
                _log.warning(outcome.note, extra=NOTE)
        for one in came:
            if isinstance(one.error, DamagedFile):
                course.doubt(one.error)
            elif one.error is not None:
                course.problem = course.problem or problem_of(one, key)
        if not self._under_way[key] and not course.problem:
            course.mend()
        done, units = course.units
        doing = stages_of(course.image)[came[-1].work.stage].doing
        _log.debug("Image %s: %d of %d units done, %s", key, done, units, doing)
        self._progress.course(course.image.field.name, doing, done, units)
        if not course.finished or self._under_way[key]:
            return []
        del self._courses[key]
        return [_receipt_of_course(course)]


def _receipt_of_course(course: Course) -> Receipt:
    if course.problem:
        course.close()
        return failed(course.image.field, course.problem)
    return course.receipt()


def _receipt_of(came: Came[Any]) -> Receipt:
    """A field's receipt; one of a failed field where the task raised."""
    if came.error is None:
        receipt: Receipt = came.outcome
        return receipt
    return failed(came.work.field, problem_of(came, came.work.field.key))
