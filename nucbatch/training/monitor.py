"""How a training goes: its history, the best weights so far, and whether it still gets better.

All of it can be made again from the history's lines, so a resumed training needs no more than them. The best
weights are written before the line that says so, with the thresholds that the line's figures were found with.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nucbatch.core.settings import ObjectSettings
from nucbatch.networks.checkpoint import Card, as_stored, save_weights
from nucbatch.training.history import Record, best_of, draw_history, read_history, write_history
from nucbatch.training.recipe import Recipe
from nucbatch.training.schedule import Length
from nucbatch.training.state import State, Tally
from nucbatch.training.task import Task

DIGITS = 5


class Course:
    """The course of one training in a folder; only the process that leads has one.

    Args:
        folder: gets ``history.csv``, ``history.png`` and ``best.safetensors``.
        card: makes the card of weights after so many steps, with these thresholds and scores.
        told: called with each new line.
    """

    def __init__(
        self,
        folder: Path,
        task: Task,
        recipe: Recipe,
        length: Length,
        card: Callable[[int, ObjectSettings, dict[str, float]], Card],
        told: Callable[[Record], None],
    ) -> None:
        self._history, self._picture = folder / "history.csv", folder / "history.png"
        self.best = folder / "best.safetensors"
        self._task, self._recipe, self._length, self._card, self._told = task, recipe, length, card, told
        self.records: list[Record] = []

    def go_on(self, state: State) -> None:
        """Takes up the history of a training that was left, as far as its state goes."""
        self.records = read_history(self._history, state.done)
        if self.records and self.records[-1]["step"] == state.done:
            state.tally = Tally()

    def score(self, state: State) -> None:
        """Adds a line to the history if one is due: before the first step, and as the recipe says."""
        begins = state.done == 0
        if (self.records and self.records[-1]["step"] == state.done) or not (
            begins or self._length.is_due(state.done)
        ):
            return
        objects, figures = self._task.score(as_stored(state.average), fit=not begins)
        if begins and not figures:
            return
        record: Record = {"step": state.done}
        if self._recipe.epochs is not None:
            record["epoch"] = state.done // self._length.score_every
        means = {} if begins else dict(zip(("loss", "dice"), state.tally.means(), strict=True))
        record |= {name: round(value, DIGITS) for name, value in {**means, **figures}.items()}
        self.records.append(record)
        if best_of(self.records, self._task.criterion) == len(self.records) - 1:
            scores = {f"while training {name}": value for name, value in record.items() if name[:4] == "val_"}
            save_weights(self.best, state.average, self._card(state.done, objects, scores))
        write_history(self._history, self.records)
        draw_history(self._picture, self.records)
        state.tally = Tally()
        self._told(record)

    def is_exhausted(self) -> bool:
        """Whether nothing got better for as many scorings as the recipe has patience."""
        best = best_of(self.records, self._task.criterion)
        if not self._recipe.patience or best is None:
            return False
        return len(self.records) - 1 - best >= self._recipe.patience
