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
    sums = _sums(
        objects.labels, held, objects.nuclei.runs.begin, objects.nuclei.runs.end, objects.owner, objects.boxes
    )
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
def _sums(
    labels: npt.NDArray[np.uint32],
    maps: npt.NDArray[np.uint8],
    begin: npt.NDArray[np.int64],
    end: npt.NDArray[np.int64],
    owner: npt.NDArray[np.int64],
    boxes: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:  # pragma: no cover (compiled)
    """Integer sums of each object, (N, 14)."""
    outputs, height, width = maps.shape
    sums = np.zeros((len(boxes), 14), np.int64)
    y, row = 0, 0
    for run in range(len(begin)):
        while begin[run] >= row + width:
            y, row = y + 1, row + width
        at = owner[run]
        own = np.uint32(at + 1)
        one = sums[at]
        for pixel in range(begin[run], end[run]):
            x = pixel - row
            foreground = np.int64(maps[0, y, x])
            interior = np.int64(maps[1, y, x]) if outputs > 1 else np.int64(0)
            one[0] += foreground
            one[1] += interior
            one[2] = max(one[2], interior)
            if foreground < _SURE:
                one[3] += 1
            is_edge = False
            for side in range(4):
                to_y, to_x = y, x
                if side == 0:
                    to_y = y - 1
                elif side == 1:
                    to_y = y + 1
                elif side == 2:
                    to_x = x - 1
                else:
                    to_x = x + 1
                if to_y < 0 or to_x < 0 or to_y >= height or to_x >= width:
                    continue
                other = labels[to_y, to_x]
                if other == own:
                    continue
                is_edge = True
                if other == 0:
                    one[6] += 1
                    one[7] += np.int64(maps[0, to_y, to_x])
                else:
                    one[8] += 1
                    one[9] = max(one[9], interior)
            if is_edge:
                one[4] += 1
                one[5] += foreground
            if outputs == 4 and foreground > 0:  # in holes, offsets of large images are not kept
                to_y = (y - boxes[at, 0]) * _FULL + (2 * np.int64(maps[2, y, x]) - _FULL) * _REACH_PX
                to_x = (x - boxes[at, 1]) * _FULL + (2 * np.int64(maps[3, y, x]) - _FULL) * _REACH_PX
                one[10] += to_y
                one[11] += to_x
                one[12] += to_y * to_y + to_x * to_x
                one[13] += 1
    return sums
