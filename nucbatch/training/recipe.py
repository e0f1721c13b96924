"""Settings of a training, and the named presets.

A preset is data. ``task`` chooses targets, loss and batches that belong together; all other fields are
numbers. The differences of a recipe from its preset can be listed, so that a card can record them.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from nucbatch.core.errors import InputError
from nucbatch.core.settings import MAPS, NormaliseSettings
from nucbatch.networks.contract import architecture, architectures


class Recipe(BaseModel):
    """All settings that decide the weights besides the data.

    ``task``: *nuclei* learns ``outputs`` (foreground, interior, offsets) from crops of ``crop_px``² at the
    image's own scale; *paper* learns one mask from whole images resized to ``crop_px``².

    ``steps`` is the number of optimiser steps of ``batch`` images; with ``epochs`` it is the number that so
    many passes over the training split take. ``schedule`` of the learning rate: *cosine* rises to
    ``learning_rate`` over the ``warmup`` share of the steps and falls to zero; *held* rises likewise, stays
    there, and falls in the last 30 % of the steps; *onecycle* rises and falls along cosines (Smith and Topin
    2017); *constant*. ``clip`` is the largest norm of a gradient, 0 for no limit. ``average`` is the decay
    per step of the exponential moving average of the weights, which is kept; 0 keeps the network's own
    weights.

    ``elastic_px`` is the standard deviation of the elastic deformation of crops: random displacements on a
    grid of 3 × 3 points, interpolated; 0 for none (Ronneberger et al. 2015, section 3.1). ``weights`` of the
    pixels in the loss: *gaps* favours narrow gaps and small nuclei, *borders* is that paper's weight map.

    ``drawn`` is the share of crops with synthetic nuclei (:mod:`nucbatch.training.synthetic_crops`),
    ``large`` the share of the others in which nuclei are enlarged to 50 to 150 px, ``bodies`` the share in
    which cells get dim bodies (:mod:`nucbatch.training.cell_bodies`).

    ``taught`` is the share of the teachers' maps in the loss, if there are teachers
    (:mod:`nucbatch.training.teachers`); the labels have the rest.

    The validation split is scored every ``score_every`` steps (with epochs: after each epoch); the state is
    saved every ``checkpoint_every`` steps. The training stops after ``patience`` scorings without a better
    one, 0 for never. ``keep``: whether the last or the best scored weights become the model.
    ``kept_of_start``: share of the initial weights in the weighted mean that becomes the model; 0 for the new
    weights alone. Such a mean does better on images unlike the training images (Wortsman et al., CVPR 2022).
    ``thresholds``: whether the thresholds that turn maps into nuclei are fitted at the end, or kept from the
    initial weights.
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
    elastic_px: float = Field(default=0.0, ge=0, le=50)
    weights: Literal["gaps", "borders"] = "gaps"
    drawn: float = Field(default=0.0, ge=0, le=0.5)
    large: float = Field(default=0.0, ge=0, le=0.5)
    bodies: float = Field(default=0.0, ge=0, le=1)
    taught: float = Field(default=0.5, ge=0, le=1)
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
        """The fields that differ from ``other``, such as ``"width 16 instead of 64"``; empty if none do."""
        mine, theirs = self.model_dump(mode="json"), other.model_dump(mode="json")
        return ", ".join(
            f"{key} {mine[key]} instead of {theirs[key]}" for key in mine if mine[key] != theirs[key]
        )


_DEFAULT = Recipe()

PRESETS = {
    "default": _DEFAULT,
    "small": _DEFAULT.model_copy(update={"name": "small"}),  # the size of the shipped model; the same recipe
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
    # As the paper says. What it leaves open (optimiser, batch, epoch) is set as usual: Adam at 1e-3 (AdamW
    # without decay is Adam), batches of 16, the epoch with the best validation Dice.
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
    # Continues from trained weights with the same images: a second cosine (Loshchilov, Hutter 2017).
    "refine": Recipe(
        name="refine",
        steps=2600,
        learning_rate=1.5e-3,
        warmup=0.05,
        kept_of_start=0.5,
    ),
    # A long training in parts, from trained or random weights. The rate is held, so that the training can be
    # stopped and resumed at any step, and falls to zero only at the end.
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
        bodies=0.2,
        score_every=1000,
        checkpoint_every=250,
    ),
    # Continues from trained weights with a few images: a low rate and few steps, to avoid forgetting.
    "finetune": Recipe(
        name="finetune",
        steps=300,
        learning_rate=5e-4,
        average=0.98,
        score_every=50,
        checkpoint_every=50,
        thresholds="keep",  # too few images to fit them
    ),
}


FROM_WEIGHTS = ("refine", "finetune")
"""Presets that start from trained weights."""


def preset(name: str) -> Recipe:
    """The recipe of a preset: one of :data:`PRESETS`, or the default with an installed architecture.

    An architecture's own settings are those of its class attribute ``recipe``.

    Raises:
        InputError: there is no preset of that name.
    """
    if name in PRESETS:
        return PRESETS[name]
    if name not in architectures():
        raise InputError(f"there is no preset {name!r}: the presets are {', '.join(preset_names())}.")
    own = getattr(architecture(name), "recipe", {})
    return Recipe.model_validate({**_DEFAULT.model_dump(), **own, "name": name, "architecture": name})


def preset_names() -> list[str]:
    """Names of all presets: those with settings of their own, then one for each installed architecture."""
    return [*PRESETS, *(name for name in architectures() if name != _DEFAULT.architecture)]
