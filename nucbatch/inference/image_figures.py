"""Figures of an image and its labels in memory, by which images are compared with those of a training."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.familiarity import figures_of_field
from nucbatch.core.tiles import Box
from nucbatch.features.quality import NUCLEAR_DIAMETER, field_quality
from nucbatch.features.quality_figures import sampled_figures
from nucbatch.features.quality_sample import labels_at_corners, sample_of
from nucbatch.inference.scale import areas_of, nuclear_diameter


def figures_of_image(image: NDArray[Any], labels: NDArray[np.integer]) -> NDArray[np.float64] | None:
    """Returns the figures of an image (Y, X) or (Y, X, 3) with its labels (Y, X); None without nuclei."""
    colour = image.ndim == 3
    grey = np.asarray(image.mean(axis=2).astype(image.dtype)) if colour else image
    numbered = labels.astype(np.uint32)
    areas = areas_of(numbered)
    areas = areas[areas > 0]
    inside = None if colour or not len(areas) else float(grey[numbered > 0].mean())
    whole = Box(0, 0, *grey.shape)
    sample = sample_of(grey, whole, whole, grey.shape)
    quality = field_quality(grey) | sampled_figures(sample, labels_at_corners(numbered), inside)
    quality[NUCLEAR_DIAMETER] = nuclear_diameter(areas)
    return figures_of_field(quality, len(areas), grey.size, colour)
