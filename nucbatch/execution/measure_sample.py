"""Measures the nuclear diameter in a sample of fields: see :mod:`nucbatch.execution.plate_scale`."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import MemoryRefused, UnreadableImage
from nucbatch.core.plate import Field, Plate
from nucbatch.core.settings import RunSettings
from nucbatch.core.tiles import Box, TileGrid
from nucbatch.execution.job import nuclear_image, seen_channel
from nucbatch.inference.normalise import find_constants
from nucbatch.inference.scale import WINDOW_PX, Scale, fit
from nucbatch.object_store import at_once
from nucbatch.readers.pixels import FieldReader, field_channels

if TYPE_CHECKING:
    from nucbatch.inference.segment import View

_TOGETHER = 8
"""Number of fields to measure before testing whether there are enough nuclei."""
_ENOUGH_NUCLEI = 300


@dataclass(frozen=True, slots=True)
class ScaleSample:
    """Fields to measure, and how the network sees them.

    Attributes:
        plate: the plate, with the fields of the sample alone and without a list of files.
        settings: those of the run.
        weights: the model's weight file.
        grid: the network's grid of tiles.
        scale: the scale of images for the network, as far as it is known.
    """

    plate: Plate
    settings: RunSettings
    weights: Path
    grid: TileGrid
    scale: Scale


def measure_sample(sample: ScaleSample, threads: int) -> tuple[float, int, int]:
    """Measures the nuclear diameter in the centres of a plate's fields.

    Args:
        sample: the fields.
        threads: number of threads for reading and segmenting.

    Returns:
        The diameter in px, and the numbers of nuclei and of fields measured.
    """
    # These load PyTorch, which the driver does not need.
    from nucbatch.inference.device import CpuDevice
    from nucbatch.inference.segment import labels_in
    from nucbatch.networks.checkpoint import load_weights

    plate, scale = sample.plate, sample.scale
    device = CpuDevice(load_weights(sample.weights)[0], "fp32")

    def predict(tile: NDArray[np.float32]) -> NDArray[np.uint8]:
        maps: NDArray[np.uint8] = device.begin([tile]).wait()[0]
        return maps

    def labels_at(zoom: float, views: list[View]) -> list[NDArray[np.uint32]]:
        return list(pool.map(lambda view: labels_in(view, sample.grid, predict, scale.objects, zoom), views))

    views: list[View] = []
    first: list[NDArray[np.uint32]] = []
    with (
        ThreadPoolExecutor(threads) as pool,
        ThreadPoolExecutor(at_once(plate.root, threads)) as reading,
    ):
        for fields in _batches(list(plate.fields)):
            some = [view for view in reading.map(lambda field: _view_of(sample, field), fields) if view]
            views += some
            first += labels_at(1.0, some)
            if sum(int(labels.max()) for labels in first) >= _ENOUGH_NUCLEI:
                break
        found = {1.0: first}

        def seen_at(zoom: float) -> list[NDArray[np.uint32]]:
            if zoom not in found:
                found[zoom] = labels_at(zoom, views)
            return found[zoom]

        fitted = fit(seen_at, [image for image, _ in views], scale)
    return fitted.diameter_px, sum(int(labels.max()) for labels in first), len(views)


def _batches(fields: list[Field]) -> Iterator[list[Field]]:
    for begin in range(0, len(fields), _TOGETHER):
        yield fields[begin : begin + _TOGETHER]


def _view_of(sample: ScaleSample, field: Field) -> View | None:
    """Reads the centre of a field's segmented channels and its constants; None if it can't be read."""
    channels = field_channels(sample.plate, field)
    channel = seen_channel(channels, sample.settings.channel)
    seen = channels if channel is None else (channels[channel],)
    height, width = min(field.height_px, WINDOW_PX), min(field.width_px, WINDOW_PX)
    top, left = (field.height_px - height) // 2, (field.width_px - width) // 2
    box = Box(top, left, top + height, left + width)
    try:
        pixels = FieldReader.of(sample.plate).read_box(field, seen, box)
    except (UnreadableImage, MemoryRefused):  # the run reports it when it processes the field
        return None
    image = nuclear_image(pixels, None if channel is None else 0)
    return image, find_constants(image, sample.settings.normalise)
