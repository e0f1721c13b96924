"""The driver: keeps a rolling window of work full, and turns what comes back into receipts.

The decision owned here: nothing is held but the window and, of large images, which units are done. An image
of several blocks is a course of many units and, in the end, one receipt, as a field is; a few courses at
once, so that one may begin while another comes to its end. What an error means is decided here too: the end
of a field, or of the sitting.
"""

from __future__ import annotations

import errno
import traceback
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Protocol

from distributed import KilledWorker

from nucbatch.errors import StoreError, WeightsError
from nucbatch.execution.block import FieldTask, failed
from nucbatch.execution.large.course import Course
from nucbatch.execution.large.image import LargeImage
from nucbatch.execution.large.stages import PREDICT, says
from nucbatch.execution.large.unit import UnitDone, UnitTask
from nucbatch.execution.window import Came, Window
from nucbatch.plate import Field
from nucbatch.schedulers.contract import Cluster
from nucbatch.store.folder import RunFolder
from nucbatch.store.ledger import Receipt

_COURSES = 2
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


class Progress(Protocol):
    """Told of a run's course."""

    def begin(self, total: int, committed: Iterable[Receipt]) -> None:
        """``total`` fields are to be done in all, of which those of ``committed`` are."""
        ...

    def advance(self, receipt: Receipt) -> None:
        """One more field came back."""
        ...

    def course(self, name: str, doing: str, done: int, units: int) -> None:
        """A large image is at a stage; so many of its units are done."""
        ...

    def note(self, sentence: str) -> None:
        """Something that the user should know."""
        ...


class Driver:
    """Fields and courses, and what of them is under way."""

    def __init__(
        self,
        cluster: Cluster,
        fields: Iterator[FieldTask],
        images: Iterator[LargeImage],
        progress: Progress,
    ) -> None:
        self._window: Window[FieldTask | UnitTask] = Window(cluster)
        self._most_predicting = max(2 * cluster.workers, self._window.room // 2)
        self._fields, self._images, self._progress = fields, images, progress
        self._courses: dict[str, Course] = {}
        self._under_way: dict[str, int] = {}
        self._predicting = 0

    def receipts(self) -> Iterator[list[Receipt]]:
        """What came of fields and images, as it comes; not every list has one."""
        while True:
            self._fill()
            if not len(self._window):
                return
            came = self._window.next_batch()
            receipts = [_receipt_of(one, one.work.field) for one in came if isinstance(one.work, FieldTask)]
            by_image: dict[str, list[tuple[UnitTask, Came[Any]]]] = {}
            for one in came:
                if isinstance(one.work, UnitTask):
                    by_image.setdefault(one.work.image.field.key, []).append((one.work, one))
            for key, units in by_image.items():
                receipts += self._accept(key, units)
            yield receipts

    def close(self) -> None:
        """Ends the records of images that are not finished."""
        for course in self._courses.values():
            course.close()
        self._courses.clear()

    def _fill(self) -> None:
        urgent: list[FieldTask | UnitTask] = []
        patient: list[FieldTask | UnitTask] = []
        while len(self._window) + len(urgent) + len(patient) < self._window.room:
            work = self._next()
            if work is None:
                break
            predicts = isinstance(work, FieldTask) or work.stage == PREDICT
            (patient if predicts else urgent).append(work)
        self._window.submit(urgent, priority=1)
        self._window.submit(patient)

    def _next(self) -> FieldTask | UnitTask | None:
        field = next(self._fields, None)
        if field is not None:
            return field
        while True:
            for course in self._courses.values():
                unit = course.next(predict=self._predicting < self._most_predicting)
                if unit is not None:
                    self._under_way[course.image.field.key] += 1
                    self._predicting += unit.stage == PREDICT
                    return unit
            image = next(self._images, None) if len(self._courses) < _COURSES else None
            if image is None:
                return None
            self._courses[image.field.key] = Course(image)
            self._under_way[image.field.key] = 0

    def _accept(self, key: str, came: list[tuple[UnitTask, Came[Any]]]) -> list[Receipt]:
        """Commits units of an image; its receipt, if it is through with it."""
        course = self._courses[key]
        self._under_way[key] -= len(came)
        self._predicting -= sum(unit.stage == PREDICT for unit, _ in came)
        outcomes: list[UnitDone] = [done for _, one in came if one.error is None for done in one.outcome]
        course.accept(outcomes)
        for outcome in outcomes:
            if outcome.note:
                self._progress.note(outcome.note)
        for _, one in came:
            if one.error is not None:
                course.problem = course.problem or _problem_of(one)
        done, units = course.units
        self._progress.course(course.image.field.name, says(came[-1][0].stage), done, units)
        if not course.finished or self._under_way[key]:
            return []
        del self._courses[key]
        return [_receipt_of_course(course)]


def _receipt_of_course(course: Course) -> Receipt:
    if course.problem:
        course.close()
        return failed(course.image.field, course.problem)
    return course.receipt()


def _receipt_of(came: Came[Any], field: Field) -> Receipt:
    """A field's receipt; one of a failed field where the task raised."""
    if came.error is None:
        receipt: Receipt = came.outcome
        return receipt
    return failed(field, _problem_of(came))


def _problem_of(came: Came[Any]) -> str:
    """Why an image could not be done.

    Raises:
        StoreError, WeightsError: with this folder or model no other one fares better.
    """
    error, work = came.error, came.work
    field, folder = (
        (work.image.field, work.image.folder) if isinstance(work, UnitTask) else (work.field, work.folder)
    )
    if isinstance(error, KilledWorker):
        return "its worker process died each time it was tried"
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        raise StoreError(
            f"{folder.path} can't be written: {error.strerror or error}. Make room or give write "
            "permission, then give the same command again: what is done is kept."
        ) from error
    if isinstance(error, StoreError | WeightsError):
        raise error
    _note(folder, field, error, came.trace)
    return f"{type(error).__name__}: {error} (traceback in .nucbatch/logs/failures.log)"


def _note(folder: RunFolder, field: Field, error: BaseException | None, trace: TracebackType | None) -> None:
    """Keeps an unforeseen error's traceback, which a table has no room for, with the run."""
    lines = traceback.format_exception(None if error is None else type(error), error, trace)
    with (folder.logs / "failures.log").open("a", encoding="utf-8") as file:
        file.write(f"{field.key}\n{''.join(lines)}\n")
