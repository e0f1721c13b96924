"""Measures the objects that begin in a block, in a window that shows all of them and their surroundings.

Objects are numbered before they are measured, because a ring depends on the neighbours' numbers, and because
pieces of oversized objects belong together only then. The window reaches as far around the objects as the
families of measurements need, so that the rows are those of the whole image.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.tiles import Box
from nucbatch.execution.large.block_objects import maps_of_box
from nucbatch.execution.large.image import LargeImage
from nucbatch.execution.large.number import Numbers
from nucbatch.features.confidence import MARGIN_PX, confidence_family
from nucbatch.features.measure import margin_px, measure, require_families
from nucbatch.masks.block import around
from nucbatch.store.fragments import write_fragment
from nucbatch.store.scratch import read_block
from nucbatch.store.tables import identity_columns


def measure_block(image: LargeImage, row: int, column: int) -> None:
    """Measures a block's objects, and writes their rows in the order of their numbers.

    Raises:
        StoreError: labels or pixels can't be read, or the rows can't be written.
    """
    settings, pixel_size_um = image.settings.measure, image.field.pixel_size_um
    require_families(image.settings.measurements, settings.features)
    numbers = Numbers(image)
    block = read_block(image.scratch.block(row, column))
    oversized, their_boxes = numbers.oversized_in((row, column))
    own = np.sort(numbers.of_keys(np.concatenate([block.owned, oversized])))
    names = [channel.name for channel in image.channels]
    margin = max(margin_px(settings, pixel_size_um), MARGIN_PX)
    window = _window(np.concatenate([block.boxes, their_boxes]), margin, image.shape)
    calibration, maps = image.settings.calibration, None
    if window is None:
        labels, known = np.zeros((0, 0), np.uint32), own
        pixels = np.zeros((len(names), 0, 0), np.dtype(image.field.dtype))
        origin = 0, 0
    else:
        labels, known = ranked(numbers.labels_of_box(window))
        pixels, origin = image.image().read(window), (window.y0, window.x0)
        maps = None if calibration is None else maps_of_box(image, window)
    rows = identity_columns(image.plate_name, image.field, len(own))
    rows |= measure(
        labels,
        pixels,
        names,
        origin_px=origin,
        settings=settings,
        pixel_size_um=pixel_size_um,
        whole_px=image.shape,
        own=np.isin(known, own),
        further=confidence_family(calibration, maps, labels.shape, image.zoom),
    )
    rows["Metadata_ObjectNumber"] = own
    write_fragment(image.scratch.rows(row, column), rows)


def _window(boxes: NDArray[np.int64], margin_px: int, shape: tuple[int, int]) -> Box | None:
    """The boxes (n, 4) and a margin around them, inside the image; None without boxes."""
    if not len(boxes):
        return None
    y0, x0 = boxes[:, :2].min(axis=0).tolist()
    y1, x1 = boxes[:, 2:].max(axis=0).tolist()
    return around(Box(y0, x0, y1, x1), margin_px, shape)


def ranked(labels: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Renumbers labels (Y, X) as 1..m in the same order; returns them and their old numbers (m,) int64.

    >>> ranked(np.array([[0, 7, 7, 3]], np.uint32))[0].tolist()
    [[0, 2, 2, 1]]
    """
    present = labels[labels != 0]
    if not len(present):
        return labels, np.zeros(0, np.int64)
    lowest = int(present.min())
    seen = np.bincount((present - lowest).astype(np.int64))
    known = np.flatnonzero(seen)
    ranks = np.zeros(len(seen), np.uint32)
    ranks[known] = np.arange(1, len(known) + 1)
    local = np.zeros_like(labels)
    local[labels != 0] = ranks[present - lowest]
    return local, known + lowest
