"""Quality figures of a field that reveal blank, blurred, noisy and overexposed images, and flags.

Figures are computed from the whole plane as read. For integers up to 16 bits they come from two sums over its
pixels, those of the histogram and of the Laplacian. These are integers up to the last division, so they are
the same on any machine, and whether the plane was read at once or box by box.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.core.errors import InputError
from nucbatch.core.grey_levels import GreyLevels, countable
from nucbatch.core.jit import frozen, kernel
from nucbatch.core.tiles import Box

# Cameras of 8 to 16 bits: a 12-bit camera writes 16-bit files and saturates at 4095, or at 65520 if it shifts
# its values to the upper bits.
_BITS = (8, 10, 12, 14, 16)
_FULL_SCALES = {2**bits - 1 for bits in _BITS} | {(2**bits - 1) << (16 - bits) for bits in _BITS[1:]}

MISSING_CHANNEL = "missing-channel"
OTHER_SCALE = "other-scale"
IMPLAUSIBLE_SIZE = "implausible-size"
WRONG_POSITIONS = "wrong-positions"
UNFAMILIAR = "unfamiliar"
BLURRED, SATURATED, FEW_NUCLEI, COUNT_OUTLIER = "blurred", "saturated", "few-nuclei", "count-outlier"
BACKGROUND_LEVEL, SHADED, HAZY, LITTERED = "background", "shading", "haze", "debris"
SATURATED_IN = "QC_Saturated_"
"""Column of a channel that is not segmented; the channel's name follows."""
NUCLEAR_DIAMETER, ZOOM, MICRONUCLEI = "QC_NuclearDiameter", "QC_Zoom", "QC_Micronuclei"
FLAGS = {
    "absent-pixels": "a part of the picture was never written or copied (exact zeros, or chunks that are not "
    "stored), and nuclei there are not counted",
    MISSING_CHANNEL: "this channel has no usable image; nuclei are counted in the one that is segmented, and "
    "their measurements in this one are missing",
    OTHER_SCALE: "its nuclei, measured alone, are so much larger or smaller than the plate's that the "
    "network would have seen them at another scale, or most of its objects were left out as micronuclei; "
    "they are counted at the plate's, which --diameter sets",
    IMPLAUSIBLE_SIZE: "its objects are specks or very small nuclei, less than 0.4 times as wide as those "
    "that the model was trained on, or as the network saw them much larger than these; look at the masks, "
    "and give the nuclei's diameter with --diameter",
    UNFAMILIAR: "it is unlike all images that the model was made with, in the way named, so that confidences "
    "and intervals may be wrong; look at the masks",
    WRONG_POSITIONS: "stage positions don't agree with the images: fewer than half of the nuclei where it "
    "overlaps with other fields are found in both, so none is left out, and some may be counted twice",
    BLURRED: "it has less fine detail than the run's other fields: it is out of focus or was moved",
    SATURATED: "more than 1 % of the pixels of the segmented or the named channel are at the camera's full "
    "scale, so that intensities are too low",
    BACKGROUND_LEVEL: "its background is much brighter or darker than that of the run's other fields",
    SHADED: "its background is much less even than that of the run's other fields: a gradient, a reflection, "
    "or the edge of the well",
    HAZY: "light from out of focus raises the background away from its nuclei",
    LITTERED: "bright areas in it are no nuclei: debris, fibres, clumps, or nuclei that were missed",
    FEW_NUCLEI: "it has no nuclei, or less than a tenth of the run's median",
    COUNT_OUTLIER: "its count is more than 6 robust standard deviations from the run's median",
}
"""Names of flags for problems of a field that is counted all the same, and their meaning."""


def meaning(flag: str) -> str:
    """The meaning of a flag; its name may be followed by a subject, as in ``missing-channel GFP``."""
    return FLAGS.get(flag.split(" ")[0], "")


def flags_of(figures: Mapping[str, float]) -> list[str]:
    """Names of the flags that follow from a field's figures (the ``QC_`` columns)."""
    return ["absent-pixels"] if figures.get("QC_Absent", 0) > 0 else []


@dataclass(frozen=True, slots=True)
class Edges:
    """Sums of the 4-neighbour Laplacian over some pixels; they add.

    ``pixels``: number of pixels with a Laplacian. ``total``, ``squares``: sums of it and of its square, in
    grey levels.
    """

    pixels: int = 0
    total: int = 0
    squares: int = 0

    def __add__(self, other: Edges) -> Edges:
        return Edges(self.pixels + other.pixels, self.total + other.total, self.squares + other.squares)


def edges_of(window: npt.NDArray[Any], core: Box) -> Edges:
    """The sums over the pixels of ``core`` that have all four neighbours in the window.

    Args:
        window: (Y, X) uint8 or uint16: the core, and one more pixel around it wherever the image continues.
            Where the core reaches the window's border, that is the image's border, whose pixels have no
            Laplacian. Cores that cover an image once therefore give the sums of the whole image.
        core: the pixels to count, in the window's coordinates.

    Raises:
        InputError: the window is not a plane of these types, or the core does not lie in it.
    """
    if window.ndim != 2 or not countable(window.dtype):
        raise InputError(
            f"a window of shape {window.shape} and type {window.dtype}: it must be (Y, X) uint8 or uint16."
        )
    height, width = window.shape
    if not (0 <= core.y0 <= core.y1 <= height and 0 <= core.x0 <= core.x1 <= width):
        raise InputError(
            f"{core} does not lie in a window of {height} × {width} px: it must be in the window's "
            "coordinates."
        )
    top, left = max(core.y0, 1), max(core.x0, 1)
    bottom, right = min(core.y1, height - 1), min(core.x1, width - 1)
    if bottom <= top or right <= left:
        return Edges()
    rows = _laplacian(frozen(window[top - 1 : bottom + 1, left - 1 : right + 1], np.uint16))
    # Rows are summed as Python integers: the squares of a large 16-bit plane may exceed 64 bits.
    return Edges((bottom - top) * (right - left), sum(rows[:, 0].tolist()), sum(rows[:, 1].tolist()))


def figures_of(levels: GreyLevels, edges: Edges) -> dict[str, float]:
    """The figures of :func:`field_quality` from sums over a plane, read at once or box by box.

    Args:
        levels: histogram of all its pixels.
        edges: Laplacian sums of all its pixels.

    Raises:
        InputError: there are no pixels.
    """
    n, total, inner = levels.size, levels.total, edges.pixels
    spread = n * levels.squares - total * total
    edge_spread = inner * edges.squares - edges.total * edges.total
    focus = edge_spread * n * n / (spread * inner * inner) if spread and inner else 0.0
    median = (levels.at_rank((n - 1) // 2 + 1) + levels.at_rank(n // 2 + 1)) / 2
    return _figures(saturated_fraction(levels), focus, median, total / n)


def saturated_fraction(levels: GreyLevels) -> float:
    """Returns the fraction of pixels at a camera's full scale; 0 if the brightest pixel is at none."""
    brightest = levels.maximum
    return int(levels.counts[brightest]) / levels.size if brightest in _FULL_SCALES else 0.0


def field_quality(plane: npt.NDArray[Any]) -> dict[str, float]:
    """Quality of one plane (Y, X); integer or float, as read.

    Returns:
        ``QC_Saturated``: fraction of pixels at full scale, if the brightest pixel is at the full scale of an
        8, 10, 12, 14 or 16-bit camera; 0 otherwise and for float images. ``QC_Focus``: variance of the
        4-neighbour Laplacian over the variance of the image, which is near 0 for a blurred image and 20 for
        white noise, whatever gain and offset; 0 for a constant image. The measure is that of Pech-Pacheco et
        al. (ICPR 2000), divided by the variance to be comparable between fields. ``QC_Background``: median
        grey level. ``QC_Mean``: mean grey level.

    Raises:
        InputError: the plane is not 2-D, is empty, is not numeric, or has NaN or infinite pixels.
    """
    if plane.ndim != 2 or plane.size == 0 or plane.dtype.kind not in "uif":
        raise InputError(f"a plane of shape {plane.shape} and type {plane.dtype}: it must be (Y, X) numbers.")
    if countable(plane.dtype):
        return figures_of(GreyLevels.of(plane), edges_of(plane, Box(0, 0, *plane.shape)))
    return _of_floats(plane.astype(np.float64))


def _of_floats(plane: npt.NDArray[np.float64]) -> dict[str, float]:
    if not np.isfinite(plane).all():
        raise InputError("the plane has pixels that are NaN or infinite: every pixel must be a number.")
    variance = float(plane.var())
    focus = 0.0
    if variance > 0 and min(plane.shape) > 2:
        inner = plane[1:-1, 1:-1]
        around = plane[:-2, 1:-1] + plane[2:, 1:-1] + plane[1:-1, :-2] + plane[1:-1, 2:]
        focus = float((around - 4 * inner).var()) / variance
    return _figures(0.0, focus, float(np.median(plane)), float(plane.mean()))


def _figures(saturated: float, focus: float, background: float, mean: float) -> dict[str, float]:
    return {"QC_Saturated": saturated, "QC_Focus": focus, "QC_Background": background, "QC_Mean": mean}


@kernel
def _laplacian(plane: npt.NDArray[np.uint16]) -> npt.NDArray[np.int64]:
    """Per row of a plane (Y, X), the sums of the Laplacian of its inner pixels and of its square (Y, 2)."""
    height, width = plane.shape
    rows = np.zeros((height, 2), np.int64)
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            laplacian = (
                np.int64(plane[y - 1, x])
                + np.int64(plane[y + 1, x])
                + np.int64(plane[y, x - 1])
                + np.int64(plane[y, x + 1])
                - 4 * np.int64(plane[y, x])
            )
            rows[y, 0] += laplacian
            rows[y, 1] += laplacian * laplacian
    return rows
