"""Confidence of each object: the probability that it is a nucleus, from the evidence in the network's maps.

All sums are integers over the object's own pixels and the pixels beside them, so an object has the same
confidence in any window that shows it and one more pixel around it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.core.calibration import Calibration, ConfidenceModel
from nucbatch.core.jit import frozen, kernel
from nucbatch.core.measure_settings import MeasureSettings
from nucbatch.features.contract import Columns
from nucbatch.features.measured_objects import Objects

CONFIDENCE = "Nuclei_Confidence"
"""Column of the probability that an object is a nucleus."""

MARGIN_PX = 1
"""How far around an object its evidence reaches."""

EVIDENCE = (
    "foreground",
    "interior",
    "peak",
    "uncertain",
    "edge_contrast",
    "outside",
    "flow_spread",
    "contact",
    "cut",
    "log_area",
    "compactness",
)
"""Names of the evidence, in order.

``foreground``, ``interior``: mean of the maps. ``peak``: maximum of the interior. ``uncertain``: fraction of
pixels whose foreground is below 0.8. ``edge_contrast``: mean foreground of the pixels inside the outline
minus ``outside``, the mean of the background beside it. ``flow_spread``: standard deviation of the points to
which the offsets lead, in radii. ``contact``: fraction of the outline that touches other objects. ``cut``:
highest interior there, relative to the peak. ``log_area``: logarithm of the area in px as the network saw it.
``compactness``: 4πA/P², with π/4 times the number of outer sides of pixels as P.
"""

_SURE = 204  # 0.8 of 255
_REACH_PX, _FULL = 32, 255  # an offset of 0 or 255 is this long, see nucbatch.masks.flows


@dataclass(slots=True)
class Confidence:
    """A family of measurements: the confidence of each object.

    ``maps``: (outputs, Y, X) uint8, the network's maps of the labels' pixels. ``zoom``: how many times as
    large the network saw the image. ``model``: turns evidence into a probability.
    """

    maps: npt.NDArray[np.uint8]
    zoom: float
    model: ConfidenceModel
    name: str = "confidence"

    def margin_px(self, settings: MeasureSettings, pixel_size_um: float | None) -> int:
        return MARGIN_PX

    def measure(self, objects: Objects, image: npt.NDArray[Any], channels: tuple[str, ...]) -> Columns:
        return {CONFIDENCE: self.model.confidences(evidence_of(objects, self.maps, self.zoom))}


def confidence_family(
    calibration: Calibration | None, maps: npt.NDArray[np.uint8] | None, shape: tuple[int, ...], zoom: float
) -> tuple[Confidence, ...]:
    """Returns the family for an image or window, or none without a calibration.

    Args:
        calibration: of the model.
        maps: of the labels' pixels; None if there are no objects.
        shape: (Y, X) of the labels.
        zoom: as for :class:`Confidence`.
    """
    if calibration is None:
        return ()
    seen = np.zeros((1, *shape), np.uint8) if maps is None else maps
    return (Confidence(seen, zoom, calibration.confidence),)


def evidence_of(objects: Objects, maps: npt.NDArray[np.uint8], zoom: float) -> npt.NDArray[np.float64]:
    """Computes the evidence of each object, (N, len(EVIDENCE)) float64.

    Args:
        objects: the objects of an image or window.
        maps: (outputs, Y, X), in the same pixels. With fewer than 4 maps, what the others would show is 0.
        zoom: how many times as large the network saw the image.
    """
    held = frozen(maps, np.uint8)
    sums = np.zeros((objects.count, 14), np.int64)
    width, runs, edges = objects.labels.shape[1], objects.nuclei.runs, objects.edges.runs
    flat = held.reshape(len(held), -1)
    _sum_pixels(runs.begin, runs.end, objects.owner, width, objects.boxes, flat, sums)
    _sum_edges(edges.begin, edges.end, objects.edges.owner, objects.labels, flat, sums)
    area = objects.areas_px.astype(np.float64)
    foreground, interior, peak, unsure, edge, edge_foreground, beside, outside, touching, cut = sums[
        :, :10
    ].T.astype(np.float64)
    radius = np.sqrt(area / math.pi)
    spread = np.zeros(len(area))
    if len(held) == 4:
        y, x, squares, pixels = sums[:, 10:14].T.astype(np.float64)
        variance = _ratio(squares, pixels) - _ratio(y, pixels) ** 2 - _ratio(x, pixels) ** 2
        spread = np.sqrt(np.maximum(variance, 0)) / _FULL / radius
    around = _ratio(outside, beside) / _FULL
    sides = beside + touching
    return np.stack(
        [
            foreground / area / _FULL,
            interior / area / _FULL,
            peak / _FULL,
            unsure / area,
            _ratio(edge_foreground, edge) / _FULL - around,
            around,
            spread,
            _ratio(touching, sides),
            _ratio(cut, peak),
            np.log(area * zoom**2),
            _ratio(4 * math.pi * area, (sides * math.pi / 4) ** 2),
        ],
        axis=1,
    )


def _ratio(over: npt.NDArray[np.float64], under: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.divide(over, under, out=np.zeros(len(over)), where=under > 0)


@kernel
def _sum_pixels(
    begin: npt.NDArray[np.int64],
    end: npt.NDArray[np.int64],
    owner: npt.NDArray[np.int64],
    width: int,
    boxes: npt.NDArray[np.int64],
    maps: npt.NDArray[np.uint8],
    sums: npt.NDArray[np.int64],
) -> None:  # pragma: no cover (compiled)
    """Integer sums over the pixels of each object, in columns 0 to 3 and 10 to 13 of ``sums`` (N, 14).

    ``maps`` (outputs, Y · X). Indices are unsigned, because Numba takes negative ones from the end, which
    costs time.
    """
    outputs = len(maps)
    y, row = 0, 0
    for run in range(len(begin)):
        while begin[run] >= row + width:
            y, row = y + 1, row + width
        at, one = owner[run], sums[owner[run]]
        total, inner, peak, unsure = np.int64(0), np.int64(0), np.uint8(0), np.int64(0)
        for pixel in range(np.uint64(begin[run]), np.uint64(end[run])):
            foreground = maps[0, pixel]
            total += np.int64(foreground)
            unsure += foreground < _SURE
        if outputs > 1:
            for pixel in range(np.uint64(begin[run]), np.uint64(end[run])):
                interior = maps[1, pixel]
                inner += np.int64(interior)
                peak = max(peak, interior)
        one[0] += total
        one[1] += inner
        one[2] = max(one[2], np.int64(peak))
        one[3] += unsure
        if outputs < 4:
            continue
        base_y = (y - boxes[at, 0]) * _FULL - _FULL * _REACH_PX
        to_x = (begin[run] - row - boxes[at, 1]) * _FULL - _FULL * _REACH_PX
        down, right, squares, pixels = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
        for pixel in range(np.uint64(begin[run]), np.uint64(end[run])):
            if maps[0, pixel] > 0:  # in holes, offsets of large images are not kept
                v = base_y + 2 * _REACH_PX * np.int64(maps[2, pixel])
                u = to_x + 2 * _REACH_PX * np.int64(maps[3, pixel])
                down += v
                right += u
                squares += v * v + u * u
                pixels += 1
            to_x += _FULL
        one[10] += down
        one[11] += right
        one[12] += squares
        one[13] += pixels


@kernel
def _sum_edges(
    begin: npt.NDArray[np.int64],
    end: npt.NDArray[np.int64],
    owner: npt.NDArray[np.int64],
    labels: npt.NDArray[np.uint32],
    maps: npt.NDArray[np.uint8],
    sums: npt.NDArray[np.int64],
) -> None:  # pragma: no cover (compiled)
    """Integer sums over the edge of each object and the pixels beside it, in columns 4 to 9 of ``sums``.

    Without branches, which could hardly be predicted.
    """
    height, width = labels.shape
    flat, interior = labels.ravel(), maps[1] if len(maps) > 1 else maps[0]
    cuts = np.int64(len(maps) > 1)
    y, row = 0, 0
    for run in range(len(begin)):
        while begin[run] >= row + width:
            y, row = y + 1, row + width
        one, own = sums[owner[run]], np.uint32(owner[run] + 1)
        above = width if y > 0 else 0  # at the border a pixel is compared with itself
        below = width if y + 1 < height else 0
        left, right = row, row + width - 1
        foreground = beside = outside = touching = cut = np.int64(0)
        for pixel in range(begin[run], end[run]):
            foreground += np.int64(maps[0, np.uint64(pixel)])
            others = np.int64(0)
            for side in range(4):
                if side == 0:
                    to = np.uint64(pixel - above)
                elif side == 1:
                    to = np.uint64(pixel + below)
                elif side == 2:
                    to = np.uint64(pixel - (pixel > left))
                else:
                    to = np.uint64(pixel + (pixel < right))
                other = flat[to]
                is_background = np.int64(other == 0)
                beside += is_background
                outside += is_background * np.int64(maps[0, to])
                others += np.int64(other != own) - is_background
            touching += others
            cut = max(cut, np.int64(others > 0) * np.int64(interior[np.uint64(pixel)]))
        one[4] += end[run] - begin[run]
        one[5] += foreground
        one[6] += beside
        one[7] += outside
        one[8] += touching
        one[9] = max(one[9], cuts * cut)
