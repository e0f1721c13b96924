"""Measures how much of its bounding box's square a nucleus fills."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.core.measure_settings import MeasureSettings
from nucbatch.features.contract import Columns
from nucbatch.features.measured_objects import Objects


class Compactness:
    """One column: area over the square of the longer side of the bounding box."""

    name = "Compactness"

    def margin_px(self, settings: MeasureSettings, pixel_size_um: float | None) -> int:
        """A nucleus' own pixels are enough."""
        return 0

    def measure(self, objects: Objects, image: npt.NDArray[Any], channels: tuple[str, ...]) -> Columns:
        """``Nuclei_Compactness_SquareFilled`` (N,) float64, 0 to 1."""
        sides = np.maximum(
            objects.boxes[:, 2] - objects.boxes[:, 0], objects.boxes[:, 3] - objects.boxes[:, 1]
        )
        return {f"Nuclei_{self.name}_SquareFilled": objects.areas_px / (sides * sides)}
