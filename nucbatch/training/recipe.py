"""A training's settings and the presets that have names.

The decision owned here: a preset is data. Which targets, loss and batches go together is its ``task``; all
else is numbers. What a preset is told to do differently can be listed, so that a card can say so.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from nucbatch.core.errors import InputError
from nucbatch.core.settings import MAPS, NormaliseSettings


class Recipe(BaseModel):
    """Everything that decides the weights besides the data.

    ``task``: *nuclei* learns ``outputs`` from crops of ``crop_px``² at the image's own scale (foreground,
    interior, offsets); *paper* learns one mask from whole images resized to ``crop_px``².

    ``steps`` optimiser steps of ``batch`` pictures; or as many as ``epochs`` passes over the training split
    take. ``schedule`` of the learning rate: *cosine* rises over the ``warmup`` share of the steps to
    ``learning_rate`` and falls to zero; *held* rises alike, stays there, and falls in the last 30 % of the
    steps; *onecycle* rises and falls along cosines (Smith and Topin 2017); *constant*. ``clip`` is
    the largest norm of a gradient, 0 for any. ``average`` is the decay per step of the exponential moving
    average whose weights are kept; 0 keeps the network's own.

    ``drawn`` is the share of crops that are drawn (:mod:`nucbatch.training.drawn`), ``large`` the share of
    the others in which nuclei are enlarged to 50 to 150 px.

    Every ``score_every`` steps (with epochs: after each) the validation split is scored, every
    ``checkpoint_every`` steps the state is saved. ``patience`` is how many scorings without a better one
    end the training, 0 for never. ``keep``: which weights become the model, the last or the best scored.
    ``kept_of_start``: the share of the weights to begin with in the mean that becomes the model (Wortsman et
    al., CVPR 2022: such a mean does better on images unlike these); 0 for the new ones alone.
    ``thresholds``: whether those that make nuclei of maps are fitted at the end, or kept as the weights to
    begin with have them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "default"
    task: Literal["nuclei", "paper"] = "nuclei"
    architecture: str = "unet"
    width: int = Field(default=16, ge=1)
    depth: int = Field(default=4, ge=1)
    outputs: tuple[str, ...] = MAPS
    steps: int = Field(default=6500, ge=1)
    epochs: int | None = Field(default=None, ge=1)
    batch: int = Field(default=8, ge=1)
    crop_px: int = Field(default=192, ge=32)
    learning_rate: float = Field(default=3e-3, gt=0)
    schedule: Literal["cosine", "held", "onecycle", "constant"] = "cosine"
    weight_decay: float = Field(default=1e-4, ge=0)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    clip: float = Field(default=5.0, ge=0)
    average: float = Field(default=0.998, ge=0, lt=1)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    seed: int = 0
    drawn: float = Field(default=0.0, ge=0, le=0.5)
    large: float = Field(default=0.0, ge=0, le=0.5)
    score_every: int = Field(default=500, ge=1)
    checkpoint_every: int = Field(default=100, ge=1)
    patience: int = Field(default=0, ge=0)
    keep: Literal["last", "best"] = "last"
    thresholds: Literal["fit", "keep"] = "fit"
    kept_of_start: float = Field(default=0.0, ge=0, lt=1)
    normalise: NormaliseSettings = NormaliseSettings()

    @property
    def config(self) -> dict[str, int]:
        """The architecture's keyword arguments."""
        return {"in_channels": 3, "outputs": len(self.outputs), "width": self.width, "depth": self.depth}

    def differences(self, other: Recipe) -> str:
        """What is not as in ``other``, such as ``"width 16 instead of 64"``; empty where all is the same."""
        mine, theirs = self.model_dump(mode="json"), other.model_dump(mode="json")
        return ", ".join(
            f"{key} {mine[key]} instead of {theirs[key]}" for key in mine if mine[key] != theirs[key]
        )


_DEFAULT = Recipe()

PRESETS = {
    "default": _DEFAULT,
    "small": _DEFAULT.model_copy(update={"name": "small"}),  # the size that ships: the same recipe
    # 7.8 M parameters, 16 MB in half precision: for a GPU
    "base": Recipe(
        name="base",
        width=32,
        steps=20000,
        batch=16,
        crop_px=256,
        learning_rate=2e-3,
        average=0.999,
        score_every=2000,
        checkpoint_every=500,
    ),
    # The paper's as it says; what it does not say (optimiser, batch, which epoch is kept) is what its kind
    # uses: Adam at 1e-3 (AdamW without decay is Adam), batches of 16, the epoch of the best validation Dice.
    "paper": Recipe(
        name="paper",
        task="paper",
        width=64,
        depth=4,
        outputs=MAPS[:1],
        epochs=35,
        batch=16,
        crop_px=256,
        learning_rate=1e-3,
        schedule="constant",
        weight_decay=0,
        clip=0,
        average=0,
        keep="best",
        normalise=NormaliseSettings(method="percentiles", low_percent=0, high_percent=100),
    ),
    # On from trained weights with the images that made them: a second cosine (Loshchilov, Hutter 2017).
    "refine": Recipe(
        name="refine",
        steps=2600,
        learning_rate=1.5e-3,
        warmup=0.05,
        kept_of_start=0.5,
    ),
    # A long training in pieces, on from trained weights or not: the rate is held, so that it may be stopped
    # and resumed at any step, and falls to zero only at the end.
    "long": Recipe(
        name="long",
        steps=24000,
        batch=6,
        crop_px=224,
        learning_rate=1e-3,
        schedule="held",
        warmup=0.01,
        average=0.999,
        drawn=0.12,
        large=0.16,
        score_every=1000,
        checkpoint_every=250,
    ),
    # On from trained weights with a few images: a low rate and few steps, so that what was learnt stays.
    "finetune": Recipe(
        name="finetune",
        steps=300,
        learning_rate=5e-4,
        average=0.98,
        score_every=50,
        checkpoint_every=50,
        thresholds="keep",  # a few images choose none
    ),
}


GO_ON = ("refine", "finetune")
"""Presets that begin at trained weights."""


def preset(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        InputError: there is none.
    """
    if name not in PRESETS:
        raise InputError(f"preset {name!r} is not known: there are {', '.join(PRESETS)}.")
    return PRESETS[name]
