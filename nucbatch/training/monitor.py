"""Monitors a training: writes its history, keeps the best weights, and decides when to stop early.

Everything is computed from the lines of the history, so a resumed training needs nothing else. The best
weights are written before their line in the history, with the thresholds that the line's figures were
computed with.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nucbatch.core.settings import ObjectSettings
from nucbatch.networks.checkpoint import as_stored, save_weights
from nucbatch.networks.model_card import Card
from nucbatch.training.history import Record, best_of, draw_history, read_history, write_history
from nucbatch.training.recipe import Recipe
from nucbatch.training.schedule import Length
from nucbatch.training.state import RunningMeans, State
from nucbatch.training.task import Task

DIGITS = 5


class TrainingMonitor:
    """History, best weights and early stopping of one training; exists in the main process alone.

    Args:
        folder: gets ``history.csv``, ``history.png`` and ``best.safetensors``.
        task: scores the network.
        recipe: says when to stop early.
        length: says when to score.
        card: makes the card of weights from steps, thresholds and scores.
        on_record: called with each new line.
    """

    def __init__(
        self,
        folder: Path,
        task: Task,
        recipe: Recipe,
        length: Length,
        card: Callable[[int, ObjectSettings, dict[str, float]], Card],
        on_record: Callable[[Record], None],
    ) -> None:
        self._history, self._picture = folder / "history.csv", folder / "history.png"
        self.best = folder / "best.safetensors"
        self._task, self._recipe, self._length, self._card, self._on_record = (
            task,
            recipe,
            length,
            card,
            on_record,
        )
        self.records: list[Record] = []

    def resume(self, state: State) -> None:
        """Reads the history of an interrupted training up to its saved state."""
        self.records = read_history(self._history, state.done)
        if self.records and self.records[-1]["step"] == state.done:
            state.tally = RunningMeans()

    def score(self, state: State) -> None:
        """Scores, and adds a line to the history, if one is due.

        That is before the first step, and whenever the recipe says.
        """
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
        state.tally = RunningMeans()
        self._on_record(record)

    def should_stop(self) -> bool:
        """Whether the best score is at least ``recipe.patience`` scorings old."""
        best = best_of(self.records, self._task.criterion)
        if not self._recipe.patience or best is None:
            return False
        return len(self.records) - 1 - best >= self._recipe.patience
