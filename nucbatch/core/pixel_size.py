"""Pixel sizes that a file gives for both axes: one number where pixels are square, and a remark where not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

NOT_SQUARE = "Pixels are not square"
_TOLERANCE = 0.01  # sizes of square pixels are rounded in two places


def square_um(across_um: float | None, down_um: float | None) -> float | None:
    """Returns the width of a pixel; None if its height is known and differs by 1% or more.

    >>> square_um(0.5, 0.501), square_um(0.5, None), square_um(0.5, 1.0)
    (0.5, 0.5, None)
    """
    return None if not_square(across_um, down_um) else across_um


def not_square(across_um: float | None, down_um: float | None) -> bool:
    """Returns whether both sides of a pixel are known and differ by 1% or more."""
    if not across_um or not down_um or min(across_um, down_um) <= 0:
        return False
    return not 1 - _TOLERANCE < down_um / across_um < 1 + _TOLERANCE


def other_than_recorded(given_um: float, recorded_um: Iterable[float]) -> str:
    """Returns the sentence for the user about a given pixel size that files contradict; empty if none do.

    >>> other_than_recorded(0.5, [0.65, 0.65, 0.502]).partition(":")[0]
    'The pixel size given, 0.5 µm, is used instead of that in the files, 0.65 µm (2 fields)'

    Args:
        given_um: pixel size that the user gives.
        recorded_um: pixel size in the files of each field that has one.
    """
    differs = Counter(size for size in recorded_um if not_square(given_um, size))
    if not differs:
        return ""
    size, fields = differs.most_common(1)[0]
    return (
        f"The pixel size given, {given_um:g} µm, is used instead of that in the files, {size:g} µm "
        f"({fields:,} field{'s' * (fields != 1)}): areas in µm², and which fields overlap, follow from it."
    )


def not_square_remark(across_um: float | None, down_um: float | None, source: str) -> str:
    """Returns the sentence for the user about pixels that are not square.

    Args:
        across_um: width of a pixel.
        down_um: height of a pixel.
        source: file, or kind of files, that gives them.
    """
    return (
        f"{NOT_SQUARE}: {across_um:g} µm across and {down_um:g} µm down ({source}). Nuclei are "
        "found and measured in the pixels as they are, so shapes are distorted and no pixel size is used: "
        "rescale the images to square pixels first."
    )
