"""Shows the progress of a training: loss, Dice, the last score, the time left."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from nucbatch.core.pace import Pace

if TYPE_CHECKING:
    from rich.console import Console


class TrainingBar:
    """A live progress bar with loss, Dice, the last validation score and the time left.

    Each scoring prints a line. Without a terminal, only lines are printed. ``clock``: seconds that never
    decrease.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = console
        self._pace, self._steps = Pace(20, clock), 0
        self._bar = Progress(
            TextColumn("[bold]steps"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[now]}"),
            TextColumn("[cyan]{task.fields[val]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("steps", total=None, now="", val="")

    def __enter__(self) -> TrainingBar:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def started(self, done: int, steps: int) -> None:
        """Shows the steps that an earlier session has done."""
        if done:
            self._console.print(f"{done} of {steps} steps are done already; continuing.")
        self._pace.begin(done, steps)
        self._steps = steps
        self._bar.reset(  # not update: steps done before don't count for the speed
            self._task, total=steps, completed=done, now="", val=""
        )

    def step(self, done: int, loss: float, dice: float) -> None:
        """Moves the bar, or prints a line now and then."""
        if not self._console.is_terminal and self._pace.is_due(done):
            left = self._pace.left(done)
            figures = f"loss {loss:.3f}, Dice {dice:.3f}" + (f", {left}" if left else "")
            self._console.print(f"{done}/{self._steps} steps: {figures}")
        self._bar.update(self._task, completed=done, now=f"loss {loss:.3f}  Dice {dice:.3f}")

    def scored(self, record: dict[str, float]) -> None:
        """Prints a line of the history."""
        figures = {name: value for name, value in record.items() if name not in ("step", "epoch")}
        where = f"epoch {record['epoch']:.0f}" if "epoch" in record else f"step {record['step']:.0f}"
        where = where if record["step"] else "before the first step"
        line = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in figures.items())
        self._console.print(f"{where}: {line}")
        judged = next((name for name in ("val_object_f1", "val_dice") if name in record), None)
        if judged is not None:
            shown = f"{judged.replace('_', ' ')} {record[judged]:.3f}"
            self._bar.update(self._task, val=shown)
