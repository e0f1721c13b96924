"""Trainings of a few steps for tests, and listeners that interrupt them."""

import os
from pathlib import Path

from nucbatch.core.settings import ObjectSettings
from nucbatch.training.history import Record
from nucbatch.training.listener import SilentListener
from nucbatch.training.recipe import Recipe

TINY = Recipe(name="tiny", width=2, depth=2, steps=6, batch=2, crop_px=32, score_every=3, checkpoint_every=2)
PAPER = Recipe(
    name="tiny",
    task="paper",
    width=2,
    depth=2,
    outputs=("foreground",),
    epochs=3,
    batch=2,
    crop_px=32,
    keep="best",
)


ODD = ObjectSettings(foreground=0.31, peak=0.07, min_area_px=7)
"""Thresholds that no grid of fitted ones has."""


class Failure(Exception):
    pass


class Signals(SilentListener):
    """Sends this process a signal after a number of steps, or after a validation."""

    def __init__(self, number: int, *, step: int = -1, scored: int = -1) -> None:
        self.number, self.at_step, self.at_scored = number, step, scored

    def step(self, done: int, loss: float, dice: float) -> None:
        if done == self.at_step:
            os.kill(os.getpid(), self.number)

    def scored(self, record: Record) -> None:
        if record["step"] == self.at_scored:
            os.kill(os.getpid(), self.number)


class Fails(SilentListener):
    """Breaks a training off as a kill would: nothing is saved on the way out."""

    def __init__(self, *, step: int = -1, scored: int = -1) -> None:
        self.at_step, self.at_scored = step, scored

    def step(self, done: int, loss: float, dice: float) -> None:
        if done == self.at_step:
            raise Failure

    def scored(self, record: Record) -> None:
        if record["step"] == self.at_scored:
            raise Failure


def same_outcome(one: Path, other: Path) -> bool:
    names = ("weights.safetensors", "best.safetensors", "history.csv")
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)
