"""Looks at a few fields of a plate before a run, and says which are unlike all that a model was made with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import InputError, UnreadableImage
from nucbatch.core.plate import RGB_CHANNELS, Channel, Field, Plate
from nucbatch.core.settings import RunSettings
from nucbatch.core.tiles import Box
from nucbatch.execution.job import nuclear_image
from nucbatch.inference.image_figures import figures_of_image
from nucbatch.inference.normalise import find_constants
from nucbatch.inference.predict import forward, grid_of, prepared
from nucbatch.inference.scale import Scale
from nucbatch.inference.segment import segment_image
from nucbatch.networks.checkpoint import load_weights
from nucbatch.networks.locate import locate
from nucbatch.planning.plan import nuclear_channel
from nucbatch.readers.pixels import FieldReader

_LARGEST_PX = 1024


@dataclass(frozen=True, slots=True)
class Looked:
    """Fields that were looked at.

    ``looked_at``: number of fields. ``without_nuclei``: number of those that are not judged, because no
    nucleus was found. ``unfamiliar``: name of each unfamiliar field, and what is unlike in it.
    """

    looked_at: int
    without_nuclei: int
    unfamiliar: tuple[tuple[str, str], ...]


def unfamiliar_fields(
    plate: Plate, fields: Sequence[Field], count: int, channel: str = "", model: str = "default"
) -> Looked:
    """Segments the middle of up to ``count`` fields, spread evenly, each at its own scale.

    Args:
        plate: the plate.
        fields: those of it that are looked at; unreadable ones are skipped.
        count: at least 1.
        channel: name of the channel that shows nuclei; found by its name if empty.
        model: name of a shipped model, or path of a weight file.

    Raises:
        InputError: no channel of that name, several candidates, or the model does not know what images it
            was made with.
    """
    network, card = load_weights(locate(model))
    if card.calibration is None or card.calibration.familiarity is None:
        raise InputError(
            f"{model} does not know what images it was made with: nucbatch models calibrate adds that."
        )
    name = nuclear_channel(plate, channel)
    channels = tuple(Channel(one, index) for index, one in enumerate((name,) if name else RGB_CHANNELS))
    ready, grid, reader = prepared(network), grid_of(network), FieldReader.of(plate)
    scale = Scale.of(card, RunSettings(normalise=card.normalise, objects=card.objects))

    def predict(tile: NDArray[np.float32]) -> NDArray[np.uint8]:
        maps: NDArray[np.uint8] = forward(ready, tile[np.newaxis])[0]
        return maps

    looked_at = without = 0
    unfamiliar = []
    for field in _evenly([field for field in fields if not field.problem], count):
        try:
            pixels = reader.read_box(field, channels, _middle(field))
        except UnreadableImage:
            continue  # the run reads it again and reports the reason
        image = nuclear_image(pixels, 0 if name else None)
        labels = segment_image(
            image, find_constants(image, card.normalise), grid, predict, card.objects, scale
        ).labels
        figures = figures_of_image(image, labels)
        looked_at += 1
        if figures is None:
            without += 1
            continue
        reason = card.calibration.familiarity.reason(figures)
        if reason:
            unfamiliar.append((field.key, reason))
    return Looked(looked_at, without, tuple(unfamiliar))


def _evenly(fields: Sequence[Field], count: int) -> list[Field]:
    chosen = np.unique(np.linspace(0, len(fields) - 1, min(count, len(fields))).round().astype(int))
    return [fields[place] for place in chosen]


def _middle(field: Field) -> Box:
    top, left = (max(0, side - _LARGEST_PX) // 2 for side in (field.height_px, field.width_px))
    return Box(top, left, min(field.height_px, top + _LARGEST_PX), min(field.width_px, left + _LARGEST_PX))
