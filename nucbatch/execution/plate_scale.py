"""Measures the nuclear diameter of a whole plate from a sample of its fields, so that all use one scale.

Fields scaled individually could not be compared. So the run measures the centres of some fields before it
starts and stores the diameter in its settings. A resumed run keeps it, also for fields added later. A field
whose own nuclei would require another scale is flagged.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import MemoryRefused, UnreadableImage
from nucbatch.core.plate import Field
from nucbatch.core.settings import RunSettings
from nucbatch.core.tiles import Box
from nucbatch.execution.field_task import nuclear_image
from nucbatch.execution.job import seen_channel
from nucbatch.execution.plate_sample import sampled
from nucbatch.execution.prepared import Prepared
from nucbatch.inference.device import CpuDevice
from nucbatch.inference.normalise import find_constants
from nucbatch.inference.scale import WINDOW_PX, fit
from nucbatch.inference.segment import View, labels_in
from nucbatch.networks.checkpoint import load_weights
from nucbatch.object_store import at_once
from nucbatch.planning.plan import Plan
from nucbatch.readers.pixels import FieldReader, field_channels

_TOGETHER = 8
"""Number of fields to measure before testing whether there are enough nuclei."""
_ENOUGH_NUCLEI = 300


def with_plate_scale(prepared: Prepared, begun: RunSettings | None, threads: int = 1) -> tuple[Prepared, str]:
    """Adds the plate's nuclear diameter to the run's settings.

    Args:
        prepared: the run.
        begun: the settings with which the run was started, if it was; their diameter is kept.
        threads: number of threads for reading and segmenting.

    Returns:
        The run and a message with the diameter; the unchanged run and an empty message if no diameter has to
        be measured for the whole plate.
    """
    if not prepared.plan.plate.is_plate or prepared.scale.zoom is not None:
        return prepared, ""
    if begun is not None and begun.diameter_px == "auto" and begun.plate_diameter_px is not None:
        return _with(prepared, begun.plate_diameter_px), ""
    diameter_px, nuclei, fields = _measured(prepared, threads)
    found = _with(prepared, diameter_px)
    if not nuclei:
        return (
            found,
            f"No nuclei in {fields} of {len(prepared.plan.usable):,} fields: images are seen as they are.",
        )
    if not diameter_px:
        return found, "The diameter of the nuclei can't be measured: images are seen as they are."
    seen = "seen as they are" if found.scale.zoom == 1 else f"seen {found.scale.zoom:.2g} times as large"
    return found, (
        f"Nuclei measure about {diameter_px:.0f} px ({nuclei:,} nuclei in the middle of {fields} of "
        f"{len(prepared.plan.usable):,} fields): images are {seen}."
    )


def _measured(prepared: Prepared, threads: int) -> tuple[float, int, int]:
    """Measures the diameter in px; also returns the numbers of nuclei and fields measured."""
    plan, scale = prepared.plan, prepared.scale
    # In the driver, not on workers, because the settings must be complete before the first task.
    device = CpuDevice(load_weights(prepared.weights)[0], "fp32")

    def predict(tile: NDArray[np.float32]) -> NDArray[np.uint8]:
        maps: NDArray[np.uint8] = device.begin([tile]).wait()[0]
        return maps

    def labels_at(zoom: float, views: list[View]) -> list[NDArray[np.uint32]]:
        return list(
            pool.map(lambda view: labels_in(view, prepared.grid, predict, scale.objects, zoom), views)
        )

    views: list[View] = []
    first: list[NDArray[np.uint32]] = []
    with (
        ThreadPoolExecutor(threads) as pool,
        ThreadPoolExecutor(at_once(plan.plate.root, threads)) as reading,
    ):
        for fields in _batches(sampled(plan.usable)):
            some = [view for view in reading.map(lambda field: _view_of(plan, field), fields) if view]
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


def _view_of(plan: Plan, field: Field) -> View | None:
    """Reads the centre of a field's segmented channels and its constants; None if it can't be read."""
    channels = field_channels(plan.plate, field)
    channel = seen_channel(channels, plan.settings.channel)
    seen = channels if channel is None else (channels[channel],)
    height, width = min(field.height_px, WINDOW_PX), min(field.width_px, WINDOW_PX)
    top, left = (field.height_px - height) // 2, (field.width_px - width) // 2
    box = Box(top, left, top + height, left + width)
    try:
        pixels = FieldReader.of(plan.plate).read_box(field, seen, box)
    except (UnreadableImage, MemoryRefused):  # the run reports it when it processes the field
        return None
    image = nuclear_image(pixels, None if channel is None else 0)
    return image, find_constants(image, plan.settings.normalise)


def _with(prepared: Prepared, diameter_px: float) -> Prepared:
    settings = prepared.plan.settings.model_copy(update={"plate_diameter_px": diameter_px})
    return replace(prepared, plan=replace(prepared.plan, settings=settings))
