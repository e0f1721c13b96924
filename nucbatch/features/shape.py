"""Size, position and shape of nuclei, from integer sums relative to each object's bounding box.

The definitions are those of CellProfiler (MeasureObjectSizeShape), which are scikit-image's: areas in px²,
lengths and positions in px, half-open boxes, orientation in degrees. Sums are int64, so that an object gives
the same bits in any window. The perimeter classifies border pixels by their border neighbours (Benkrid and
Crookes, "Design and FPGA implementation of a perimeter estimator", 2000) and counts three classes. It is 0
for a single pixel, whose form factor is undefined (NaN).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.core.jit import kernel
from nucbatch.core.measure_settings import MeasureSettings
from nucbatch.features.contract import Columns
from nucbatch.features.convex_hull import hulls
from nucbatch.features.measured_objects import Objects

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_DIAGONAL = float(np.sqrt(2.0))


class Shape:
    """Measurements of size, position and shape, which need no pixel values."""

    name = "AreaShape"

    def margin_px(self, settings: MeasureSettings, pixel_size_um: float | None) -> int:
        """As for the ring, whose area is measured."""
        return 2 * settings.reach_px(pixel_size_um)

    def measure(self, objects: Objects, image: npt.NDArray[Any], channels: tuple[str, ...]) -> Columns:
        """Size and shape; as metadata centre, box, orientation and whether it touches the border."""
        area, boxes, width_px = objects.areas_px, objects.boxes, objects.labels.shape[1]
        moments = _moments(objects.runs.begin, objects.runs.end, objects.owner, boxes, width_px)
        border = objects.closed_edges
        borders = _classes(*border.listed, border.begins, boxes, width_px)
        top, left = objects.origin_px
        # Integers up to the division, so that a position has the same bits in any window.
        center_y = (moments[:, 0] + (boxes[:, 0] + top) * area) / area
        center_x = (moments[:, 1] + (boxes[:, 1] + left) * area) / area
        major, minor, eccentricity, orientation = _ellipse(area, moments)
        perimeter = borders[:, 0] + borders[:, 1] * _DIAGONAL + borders[:, 2] * ((1 + _DIAGONAL) / 2)
        squared = np.where(perimeter > 0, perimeter * perimeter, np.nan)
        hull_area, diameters = hulls(objects.runs.begin, objects.runs.end, objects.owner, boxes, width_px)
        height, width = objects.image_shape
        touches = (
            (boxes[:, 0] + top == 0)
            | (boxes[:, 1] + left == 0)
            | (boxes[:, 2] + top == height)
            | (boxes[:, 3] + left == width)
        )
        box_area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        values: Columns = {
            "Area": area,
            "MajorAxisLength": major,
            "MinorAxisLength": minor,
            "Eccentricity": eccentricity,
            "Perimeter": perimeter,
            "FormFactor": 4 * np.pi * area / squared,
            "EquivalentDiameter": np.sqrt(4 * area / np.pi),
            "Extent": area / box_area,
            "Solidity": area / hull_area,
            "ConvexArea": hull_area,
            "MaxFeretDiameter": diameters[:, 0],
            "MinFeretDiameter": diameters[:, 1],
        }
        metadata: Columns = {
            "Location_Center_X": center_x,
            "Location_Center_Y": center_y,
            "BoundingBoxMinimum_X": boxes[:, 1] + left,
            "BoundingBoxMinimum_Y": boxes[:, 0] + top,
            "BoundingBoxMaximum_X": boxes[:, 3] + left,
            "BoundingBoxMaximum_Y": boxes[:, 2] + top,
            "Orientation": orientation,
            "TouchesBorder": touches,
        }
        columns = {f"Metadata_Nuclei_{name}": column for name, column in metadata.items()}
        columns |= {f"Nuclei_{self.name}_{name}": column for name, column in values.items()}
        cytoplasm = objects.cytoplasm(len(channels))
        return columns if cytoplasm is None else columns | {"Cytoplasm_AreaShape_Area": cytoplasm.areas_px}


def _ellipse(area: Ints, moments: Ints) -> tuple[Floats, Floats, Floats, Floats]:
    """Axes (px), eccentricity and orientation (degrees) of the ellipse with the same second moments.

    ``moments`` (N, 5) int64: sums of y, x, y², x², xy relative to the box. Orientation is the angle between
    the y axis and the major axis, from -90 to 90.
    """
    # Relative to the pixel nearest the centre the sums are exact, and no large numbers cancel below.
    near_y, near_x = (2 * moments[:, 0] + area) // (2 * area), (2 * moments[:, 1] + area) // (2 * area)
    rest_y, rest_x = (moments[:, 0] - near_y * area) / area, (moments[:, 1] - near_x * area) / area
    yy = moments[:, 2] - 2 * near_y * moments[:, 0] + near_y * near_y * area
    xx = moments[:, 3] - 2 * near_x * moments[:, 1] + near_x * near_x * area
    xy = moments[:, 4] - near_y * moments[:, 1] - near_x * moments[:, 0] + near_y * near_x * area
    var_y, var_x, cov = yy / area - rest_y * rest_y, xx / area - rest_x * rest_x, xy / area - rest_y * rest_x

    spread = np.sqrt((var_y - var_x) ** 2 + 4 * cov * cov)
    larger = (var_y + var_x + spread) / 2
    smaller = np.maximum((var_y + var_x - spread) / 2, 0.0)
    round_to_line = np.divide(spread, larger, out=np.zeros_like(spread), where=larger > 0)
    eccentricity = np.sqrt(np.minimum(round_to_line, 1.0))
    orientation = np.degrees(np.arctan2(2 * cov, var_y - var_x) / 2)
    return 4 * np.sqrt(larger), 4 * np.sqrt(smaller), eccentricity, orientation


@kernel
def _moments(
    begin: Ints, end: Ints, owner: Ints, boxes: Ints, width: int
) -> Ints:  # pragma: no cover (compiled)
    """First and second moments relative to each box's corner (N, 5)."""
    moments = np.zeros((len(boxes), 5), np.int64)
    y, row = 0, 0
    for run in range(len(begin)):
        while begin[run] >= row + width:
            y, row = y + 1, row + width
        at = owner[run]
        v, u, to = y - boxes[at, 0], begin[run] - row - boxes[at, 1], end[run] - row - 1 - boxes[at, 1]
        pixels, across = to - u + 1, (to + u) * (to - u + 1) // 2
        moments[at, 0] += v * pixels
        moments[at, 1] += across
        moments[at, 2] += v * v * pixels
        moments[at, 3] += (to * (to + 1) * (2 * to + 1) - (u - 1) * u * (2 * u - 1)) // 6
        moments[at, 4] += v * across
    return moments


@kernel
def _classes(
    pixels: npt.NDArray[np.uint32], places: npt.NDArray[np.uint32], begins: Ints, boxes: Ints, width: int
) -> Ints:  # pragma: no cover (compiled)
    """Border pixels of each object by class (N, 3): straight, diagonal, and in between.

    The classes depend on the number of border neighbours (by edge, by corner) of the same object. Each
    object's border is drawn into a small picture of its box.

    Args:
        pixels, places: of the objects' border, :attr:`nucbatch.features.regions.Region.listed`.
        begins: where each object's pixels begin, object by object.
        boxes: (N, 4).
        width: of the image.
    """
    border = np.empty(len(pixels), np.uint32)
    for at in range(len(pixels)):
        border[np.uint64(places[at])] = pixels[at]
    largest = 1
    for at in range(len(boxes)):
        largest = max(largest, (boxes[at, 2] - boxes[at, 0] + 2) * (boxes[at, 3] - boxes[at, 1] + 2))
    drawn = np.empty(largest, np.uint8)
    classes = np.zeros((len(boxes), 3), np.int64)
    for at in range(len(boxes)):
        height, across = boxes[at, 2] - boxes[at, 0], boxes[at, 3] - boxes[at, 1] + 2
        drawn[: (height + 2) * across] = 0
        for pixel in border[begins[at] : begins[at + 1]]:
            y, x = np.int64(pixel) // width - boxes[at, 0], np.int64(pixel) % width - boxes[at, 1]
            drawn[(y + 1) * across + x + 1] = 1
        straight, diagonals, between = 0, 0, 0
        for y in range(1, height + 1):
            above = drawn[(y - 1) * across : y * across]
            own = drawn[y * across : (y + 1) * across]
            below = drawn[(y + 1) * across : (y + 2) * across]
            for x in range(np.uint64(across - 2)):
                left, middle, right = x, x + np.uint64(1), x + np.uint64(2)
                beside = own[left] + own[right] + above[middle] + below[middle]
                diagonal = above[left] + above[right] + below[left] + below[right]
                is_border = own[middle] != 0
                straight += is_border & ((beside == 2) | (beside == 3)) & (diagonal <= 2)
                diagonals += is_border & (
                    ((beside == 0) & (diagonal == 2)) | ((beside == 1) & (diagonal == 3))
                )
                between += is_border & (beside == 1) & ((diagonal == 1) | (diagonal == 2))
        classes[at, 0], classes[at, 1], classes[at, 2] = straight, diagonals, between
    return classes
