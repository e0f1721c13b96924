"""Units of a large image that do nothing, as the driver sees them, to measure the cost of scheduling."""

from __future__ import annotations

from nucbatch.execution.field_task import failed
from nucbatch.execution.large.image_progress import ImageProgress
from nucbatch.execution.large.unit import UnitDone, UnitTask
from nucbatch.store.receipt import Receipt
from nucbatch.store.units import Unit


class Idle(UnitTask):
    """A unit whose worker returns at once."""

    def do(self, at: tuple[int, int]) -> UnitDone:
        return UnitDone(Unit(self.stage, *at))


class IdleProgress(ImageProgress):
    """A large image whose units are idle; they are planned, sent out, committed and counted as ever."""

    def next(self, *, predict: bool = True) -> UnitTask | None:
        unit = super().next(predict=predict)
        return None if unit is None else Idle(unit.image, unit.stage, unit.places)

    def receipt(self) -> Receipt:
        self.close()
        return failed(self.image.field, "nothing was done")
