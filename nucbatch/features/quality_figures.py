"""Figures of a field's focus, background, shading, haze and debris, from its sample and its nuclei.

Means of 8 px cells smooth the camera's noise. A cell lies outside of nuclei if no corner of it is in one. The
contrast is the mean grey level of the nuclei minus the background. Where nuclei are not brighter than the
background (stained tissue), or there are none, figures that are relative to the contrast are left out.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from nucbatch.features.quality_sample import CELL_PX, Sample, in_cells

FINE, COARSE = "QC_PowerSlope_Fine", "QC_PowerSlope_Coarse"
BACKGROUND, CONTRAST = "QC_Background", "QC_Contrast"
SHADING, HAZE, DEBRIS = "QC_Shading", "QC_Haze", "QC_Debris"
POLARITY, STRUCTURE = "QC_Polarity", "QC_Structure"

_LEAST_POWER = 0.05  # of the noise; weaker structure can't be told from it
_ZONES = 4  # along each side
_LEAST_ZONES = 12
_LEAST_CELLS = 4  # outside of nuclei in a zone
_LEAST_FAR = 16


def sampled_figures(
    sample: Sample, corners: NDArray[np.uint32], nuclei_mean: float | None
) -> dict[str, float]:
    """Computes the figures of a field; those that are undefined are left out.

    Args:
        sample: of the segmented channel.
        corners: labels at the corners of its cells, as ``labels_at_corners`` gives them.
        nuclei_mean: mean grey level of all pixels in nuclei; None without nuclei, or in RGB.

    Returns:
        ``QC_PowerSlope_Fine`` and ``QC_PowerSlope_Coarse``: slope of the power spectrum in log-log axes
        between details of 2 and 4 px, and of 4 and 8 px, without noise; more negative is more blurred.
        ``QC_Background``: median of the cells outside of nuclei, in grey levels. ``QC_Contrast``: mean of
        nuclei minus background. ``QC_Shading``: range of the background over 4 × 4 zones of the field,
        relative to the background or a tenth of the contrast, if that is more. ``QC_Haze``: how far the
        background away from nuclei rises above the lowest of its zone (9th decile), relative to the contrast.
        ``QC_Debris``: fraction of the field that is outside of nuclei and rises above the lowest background
        of its zone by more than half of the contrast. ``QC_Polarity``: mean of the cells at nuclei minus the
        background, relative to the sum of both; negative for dark nuclei. ``QC_Structure``: range of the
        cells outside of nuclei, from the first to the ninth decile, relative to the size of that difference.
        These two are known in RGB and for dark nuclei too.
    """
    if not sample.blocks:
        return {}
    means = sample.cells / CELL_PX**2
    outside = in_cells(corners) == 0
    figures = _slopes(sample)
    background = _at(means[outside], 0.5) if outside.any() else _at(means.ravel(), 0.05)
    figures[BACKGROUND] = background
    figures |= _against_background(means[~outside], means[outside], background)
    if nuclei_mean is None:
        return figures
    contrast = nuclei_mean - background
    figures[CONTRAST] = contrast
    if contrast <= 0:
        return figures
    lowest = _lowest_of_zones(means, outside)
    zone_of = [np.arange(side) * _ZONES // side for side in means.shape]
    above = means - np.where(np.isfinite(lowest), lowest, background)[np.ix_(*zone_of)]
    figures[DEBRIS] = float((outside & (above > contrast / 2)).mean())
    known = lowest[np.isfinite(lowest)]
    if known.size < _LEAST_ZONES:
        return figures
    reference = max(_at(known, 0.5), contrast / 10)
    figures[SHADING] = float(known.max() - known.min()) / reference
    far = ~_with_neighbours(~outside)
    if far.sum() >= _LEAST_FAR:
        figures[HAZE] = _at(above[far], 0.9) / contrast
    return figures


def _against_background(
    at_nuclei: NDArray[np.float64], between: NDArray[np.float64], background: float
) -> dict[str, float]:
    """Returns polarity and structure from the cells at nuclei and those between them."""
    if not at_nuclei.size or between.size < _LEAST_CELLS:
        return {}
    brightness = float(at_nuclei.mean())
    difference, total = brightness - background, brightness + background
    figures = {POLARITY: difference / total} if total > 0 else {}
    if difference:
        figures[STRUCTURE] = (_at(between, 0.9) - _at(between, 0.1)) / abs(difference)
    return figures


def _slopes(sample: Sample) -> dict[str, float]:
    noise, *others = sample.band_powers()
    if noise <= 0:
        return {}
    two, four, eight = (max(power - noise, _LEAST_POWER * noise) for power in others)
    return {FINE: -math.log2(four / two), COARSE: -math.log2(eight / four)}


def _lowest_of_zones(means: NDArray[np.float64], outside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Returns the first decile of the background in each zone (4, 4); NaN where too little of it is seen."""
    lowest = np.full((_ZONES, _ZONES), np.nan)
    edges = [[-(-zone * side // _ZONES) for zone in range(_ZONES + 1)] for side in means.shape]
    for row in range(_ZONES):
        for column in range(_ZONES):
            zone = np.s_[edges[0][row] : edges[0][row + 1], edges[1][column] : edges[1][column + 1]]
            seen = means[zone][outside[zone]]
            if seen.size >= _LEAST_CELLS:
                lowest[row, column] = _at(seen, 0.1)
    return lowest


def _with_neighbours(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    wide = cells.copy()
    for axis in (0, 1):
        ahead, behind = wide.copy(), wide.copy()
        first, rest = (np.s_[:-1], np.s_[1:]) if axis == 0 else (np.s_[:, :-1], np.s_[:, 1:])
        ahead[first] |= wide[rest]
        behind[rest] |= wide[first]
        wide = ahead | behind
    return wide


def _at(values: NDArray[np.float64], fraction: float) -> float:
    """Returns the value at this fraction of the ascending order; always one of the values."""
    place = int(fraction * (values.size - 1))
    return float(np.partition(values, place)[place])
