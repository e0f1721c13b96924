"""Display settings of a channel: colour and contrast window, for OME-Zarr's ``omero`` block.

Only viewers use them; no result depends on them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.core.errors import InputError
from nucbatch.core.grey_levels import GreyLevels, countable

_DARKEST_PERCENT, _BRIGHTEST_PERCENT = 0.5, 99.9
_WHITE = "FFFFFF"
_KNOWN = (
    (re.compile(r"dapi|hoechst|draq|nuc|\bblue\b", re.IGNORECASE), "0000FF"),
    (re.compile(r"gfp|fitc|488|\bgreen\b", re.IGNORECASE), "00FF00"),
    (re.compile(r"rfp|mcherry|texas|tritc|cy3|568|594|\bred\b", re.IGNORECASE), "FF0000"),
    (re.compile(r"cy5|far.?red|647", re.IGNORECASE), "FF00FF"),
    (re.compile(r"bright|phase|\btl\b|trans|grey|gray", re.IGNORECASE), _WHITE),
)
_OTHERS = ("00FFFF", "FFFF00", "FF00FF", "FF8000", "80FF00", "8000FF", _WHITE)


def colours(names: Sequence[str]) -> list[str]:
    """Chooses an RRGGBB colour per channel: white for a single one, else the stain's usual colour."""
    if len(names) == 1:
        return [_WHITE]
    chosen = [next((colour for pattern, colour in _KNOWN if pattern.search(name)), "") for name in names]
    free = [colour for colour in _OTHERS if colour not in chosen]
    unknown = iter(range(len(names)))
    return [colour or free[next(unknown) % len(free)] for colour in chosen]


def window(plane: npt.NDArray[Any]) -> tuple[float, float]:
    """Returns (start, end) for one plane (Y, X): its 0.5 and 99.9 percentiles, end above start."""
    if countable(plane.dtype):
        return window_of(GreyLevels.of(plane))
    finite = _finite(plane)
    if finite.size == 0:
        return 0.0, 1.0
    return _apart(*np.percentile(finite, [_DARKEST_PERCENT, _BRIGHTEST_PERCENT]).tolist())


def window_of(levels: GreyLevels) -> tuple[float, float]:
    """Returns (start, end) for one plane from its grey levels."""
    if levels.size == 0:
        return 0.0, 1.0
    darkest, brightest = (
        levels.at_rank(math.ceil(percent / 100 * levels.size))
        for percent in (_DARKEST_PERCENT, _BRIGHTEST_PERCENT)
    )
    return _apart(darkest, brightest)


def limits(plane: npt.NDArray[Any]) -> tuple[float, float]:
    """Returns (min, max) of the window's sliders: the pixel type's range, or for floats the plane's."""
    if plane.dtype.kind in "ui":
        return limits_of(plane.dtype)
    finite = _finite(plane)
    return _apart(finite.min(), finite.max()) if finite.size else (0.0, 1.0)


def limits_of(dtype: npt.DTypeLike) -> tuple[float, float]:
    """Returns (min, max) of the window's sliders for an integer pixel type.

    Raises:
        InputError: a float type, whose limits depend on the pixels.
    """
    if np.dtype(dtype).kind not in "ui":
        raise InputError(
            f"{np.dtype(dtype)} has no fixed limits: it must be an integer type. Use limits(plane) for "
            "floats."
        )
    info = np.iinfo(dtype)
    return float(info.min), float(info.max)


def _apart(start: float, end: float) -> tuple[float, float]:
    return float(start), float(end) if end > start else float(start) + 1.0


def _finite(plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return plane[np.isfinite(plane)] if plane.dtype.kind == "f" else plane
