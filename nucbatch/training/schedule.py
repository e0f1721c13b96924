"""Number of steps of a training, and its learning rate, which depends on the step alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nucbatch.training.recipe import Recipe

_HELD = 0.7
"""The share of the steps up to which a *held* rate stays at its maximum."""
_ONECYCLE_START, _ONECYCLE_END = 1 / 25, 1e-5  # fractions of the maximum


@dataclass(frozen=True, slots=True)
class Length:
    """Number of steps of a training, and the interval of scorings in steps."""

    steps: int
    score_every: int

    def is_due(self, done: int) -> bool:
        """Whether to score after ``done`` steps."""
        return done > 0 and (done % self.score_every == 0 or done == self.steps)


def length_of(recipe: Recipe, steps_per_epoch: int) -> Length:
    """The length of a training by the recipe's steps, or by its epochs."""
    if recipe.epochs is None:
        return Length(recipe.steps, recipe.score_every)
    return Length(recipe.epochs * steps_per_epoch, steps_per_epoch)


def rate_factor(step: int, steps: int, recipe: Recipe) -> float:
    """Learning rate at ``step`` (0, 1, …) of ``steps``, as a fraction of the maximum."""
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
    """Half a cosine from ``begin`` to ``end``; ``share`` is the position on it, 0 to 1."""
    return end + (begin - end) * 0.5 * (1 + math.cos(math.pi * share))
