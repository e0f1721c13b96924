"""Places the pixels of OME-Zarr levels on the stage, from the transformations in their metadata.

A level's transformations (scale, then translation) come first, then those of the whole image. Positions run
as rows and columns do, so y is down.

Source: https://ngff.openmicroscopy.org/0.5/#multiscale-md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.pixel_size import square_um

_UM_PER = {"nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3, "centimeter": 1e4, "meter": 1e6}
_UM_PER |= {"nm": 1e-3, "um": 1.0, "µm": 1.0, "micron": 1.0, "mm": 1e3}


@dataclass(frozen=True, slots=True)
class Placement:
    """Maps pixels of a level to micrometres: position = scale · pixel + translation, for y and x."""

    scale_um: tuple[float, float]
    translation_um: tuple[float, float] | None

    @property
    def pixel_size_um(self) -> float | None:
        """Width of a pixel; None if unknown, or if pixels are not square."""
        return square_um(*self.sides_um)

    @property
    def sides_um(self) -> tuple[float | None, float | None]:
        """Width and height of a pixel; None where unknown."""
        height, width = (size if math.isfinite(size) and size > 0 else None for size in self.scale_um)
        return width, height

    def center_um(self, height_px: int, width_px: int) -> tuple[float, float] | None:
        """Returns the centre (y, x) of an image; None if it is not recorded."""
        if self.translation_um is None:
            return None
        sides = zip(self.translation_um, self.scale_um, (height_px, width_px), strict=True)
        y, x = (begin + scale * length / 2 for begin, scale, length in sides)
        return (y, x) if math.isfinite(y) and math.isfinite(x) and min(self.scale_um) > 0 else None


def datasets(described: dict[str, Any]) -> Iterator[tuple[str, Placement]]:
    """Yields (path of the array, its placement) of each level."""
    if not described["datasets"]:
        raise UnreadableImage("its multiscales name no dataset")
    axes = list(described.get("axes") or ())[-2:]
    named = [str(axis.get("unit", "")) if isinstance(axis, dict) else "" for axis in axes] or ["", ""]
    units = [_UM_PER.get(unit, math.nan) for unit in named]
    for dataset in described["datasets"]:
        # The transformations of a level come first, then those of the whole image.
        steps = [
            *(dataset.get("coordinateTransformations") or ()),
            *(described.get("coordinateTransformations") or ()),
        ]
        scale, begin, is_placed = [1.0, 1.0], [0.0, 0.0], False
        for step in steps:
            if step.get("type") == "scale":
                factors = [float(value) for value in step["scale"][-2:]]
                scale = [one * factor for one, factor in zip(scale, factors, strict=True)]
                begin = [one * factor for one, factor in zip(begin, factors, strict=True)]
            elif step.get("type") == "translation" and "translation" in step:
                shift = [float(value) for value in step["translation"][-2:]]
                begin = [one + other for one, other in zip(begin, shift, strict=True)]
                is_placed = True
        (tall, wide), (top, left) = (
            (values[0] * units[0], values[1] * units[1]) for values in (scale, begin)
        )
        yield str(dataset["path"]), Placement((tall, wide), (top, left) if is_placed else None)
