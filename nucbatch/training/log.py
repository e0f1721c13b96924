"""The log of a training: ``train.log`` in its folder, to which a resumed training adds."""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nucbatch.core.log_file import SHOWN, LogFile, logged_to_its_end, logging_to
from nucbatch.training.data import DataSet
from nucbatch.training.history import Record
from nucbatch.training.listener import Listener
from nucbatch.training.processes import ProcessGroup
from nucbatch.training.recipe import Recipe
from nucbatch.version import __version__

FILE = "train.log"

_STEPS = 100
"""Between two lines about the loss."""

_log = logging.getLogger(__name__)


@contextmanager
def training_log(folder: Path, data: DataSet, recipe: Recipe, group: ProcessGroup) -> Iterator[None]:
    """Logs to ``folder/train.log`` while the context lasts, first with what the training is made of."""
    with logging_to(LogFile(folder / FILE)):
        _log.info("nucbatch %s, Python %s, %s", __version__, platform.python_version(), platform.platform())
        _log.info("Data: %d images, hash %s", len(data.entries), data.sha256)
        _log.info("Recipe: %s", json.dumps(recipe.model_dump(mode="json")))
        _log.info("Device %s, %d processes", group.device, group.size)
        for sentence in data.warnings:
            _log.warning(sentence, extra=SHOWN)
        with logged_to_its_end(_log, "training"):
            yield


class LoggedListener:
    """Logs the progress of a training and passes it on."""

    def __init__(self, to: Listener) -> None:
        self._to = to

    def started(self, done: int, steps: int) -> None:
        """Logs where the training begins."""
        _log.info("%d of %d steps are done already", done, steps)
        self._to.started(done, steps)

    def step(self, done: int, loss: float, dice: float) -> None:
        """Logs every hundredth step; all of them at DEBUG."""
        level = logging.DEBUG if done % _STEPS else logging.INFO
        _log.log(level, "Step %d: loss %.4f, Dice %.4f", done, loss, dice)
        self._to.step(done, loss, dice)

    def scored(self, record: Record) -> None:
        """Logs a new line of the history."""
        _log.info("Scores: %s", ", ".join(f"{name} {value:g}" for name, value in record.items()))
        self._to.scored(record)
