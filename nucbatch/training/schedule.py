"""How long a training is, and how the learning rate goes over it. A step's rate depends on the step alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nucbatch.training.recipe import Recipe

_HELD = 0.7
"""Up to this share of the steps a *held* rate stays at its highest."""
_ONECYCLE_START, _ONECYCLE_END = 1 / 25, 1e-5  # of the highest rate


@dataclass(frozen=True, slots=True)
class Length:
    """A training's steps, and after how many the validation split is scored each time."""

    steps: int
    score_every: int

    def is_due(self, done: int) -> bool:
        """Whether to score after that many steps."""
        return done > 0 and (done % self.score_every == 0 or done == self.steps)


def length_of(recipe: Recipe, steps_per_epoch: int) -> Length:
    """The recipe's steps, or those of its epochs."""
    if recipe.epochs is None:
        return Length(recipe.steps, recipe.score_every)
    return Length(recipe.epochs * steps_per_epoch, steps_per_epoch)


def rate_factor(step: int, steps: int, recipe: Recipe) -> float:
    """Learning rate at a step (0, 1, …) of so many, as a fraction of the highest."""
    if recipe.schedule == "constant":
        return 1.0
    rising = max(1, round(recipe.warmup * steps))
    rest = max(1, steps - rising)
    if recipe.schedule == "onecycle":
        if step < rising:
            return _between(_ONECYCLE_START, 1, step / rising)
        return _between(1, _ONECYCLE_END, (step - rising) / rest)
    if step < rising:
        return (step + 1) / rising
    if recipe.schedule == "held":
        return _between(1, 0, max(0.0, step / steps - _HELD) / (1 - _HELD))
    return _between(1, 0, (step - rising) / rest)


def _between(begin: float, end: float, share: float) -> float:
    """Along half a cosine from ``begin`` to ``end``."""
    return end + (begin - end) * 0.5 * (1 + math.cos(math.pi * share))
