"""Pixel sizes that a file gives for both axes: one number where pixels are square, and a remark where not."""

from __future__ import annotations

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
