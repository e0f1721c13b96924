"""A training's settings and the presets that have names."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from nucbatch.errors import InputError
from nucbatch.settings import NormaliseSettings


class Recipe(BaseModel):
    """Everything that decides the weights besides the data.

    ``steps`` optimiser steps of ``batch`` crops of ``crop_px``²; the learning rate rises over
    ``warmup`` of them to ``learning_rate`` and falls to zero along a cosine. ``average`` is the decay per
    step of the exponential moving average whose weights are kept. ``score_every`` steps the validation
    split is scored.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "default"
    architecture: str = "unet"
    width: int = Field(default=12, ge=1)
    depth: int = Field(default=4, ge=1)
    steps: int = Field(default=4500, ge=1)
    batch: int = Field(default=8, ge=1)
    crop_px: int = Field(default=192, ge=32)
    learning_rate: float = Field(default=3e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    average: float = Field(default=0.995, ge=0, lt=1)
    seed: int = 0
    score_every: int = Field(default=500, ge=1)
    normalise: NormaliseSettings = NormaliseSettings()


PRESETS = {
    "default": Recipe(),
    "small": Recipe(name="small", width=8, steps=3000),
}


def preset(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        InputError: there is none.
    """
    if name not in PRESETS:
        raise InputError(f"preset {name!r} is not known: there are {', '.join(PRESETS)}.")
    return PRESETS[name]
