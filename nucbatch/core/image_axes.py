"""Named axes of image arrays: picks the images out of an array whose axes are named by letters.

The functions work on NumPy and Dask arrays alike, and compute nothing of the latter.
"""

from __future__ import annotations

from operator import index
from typing import Any, SupportsIndex

from nucbatch.core.errors import InputError

_ALLOWED = (
    "name its axes by one letter each: Y and X, C for channels, Z for z-steps, S for the three colours of "
    "RGB, any other for images of their own"
)


def image_stack(array: Any, axes: str | None, channel: int | None) -> tuple[Any, bool]:
    """Returns the images of an array, and whether they are RGB.

    Of several channels one is taken; z-steps are projected by their maximum, as in a run.

    >>> import numpy as np
    >>> image_stack(np.zeros((2, 5, 40, 60)), "CTYX", channel=1)[0].shape
    (5, 40, 60)
    >>> image_stack(np.zeros((40, 60, 3)), None, None)[1]
    True

    Args:
        array: NumPy or Dask.
        axes: a letter per axis; None for (Y, X) and (Y, X, 3).
        channel: index along C, from 0; may be left out where C has one channel.

    Returns:
        (..., Y, X), or (..., Y, X, 3) of RGB, with the other axes in their order.

    Raises:
        InputError: axes are missing or don't fit the array, or one channel of several has to be chosen.
    """
    shape = tuple(array.shape)
    names = _axes_of(shape, axes)
    if "C" in names:
        array = array[(slice(None),) * names.index("C") + (_channel(shape[names.index("C")], channel),)]
        names = names.replace("C", "")
    elif channel is not None:
        raise InputError(
            f"channel {channel} can't be taken from an array with axes {names}: it has no axis C."
        )
    if "Z" in names:
        array = array.max(axis=names.index("Z"))
        names = names.replace("Z", "")
    last = "YXS" if "S" in names else "YX"
    order = [name for name in names if name not in last] + list(last)
    return array.transpose([names.index(name) for name in order]), last == "YXS"


def _axes_of(shape: tuple[int, ...], axes: str | None) -> str:
    """The letters of the axes, checked against the shape."""
    if axes is None:
        if len(shape) == 2:
            return "YX"
        if len(shape) == 3 and shape[2] == 3:
            return "YXS"
        example = "CYX" if len(shape) == 3 else "TCYX"
        hint = f' (axes="{example}", for example)' if len(shape) > 2 else ""
        raise InputError(
            f"an image of shape {shape} can't be segmented: give (Y, X) or (Y, X, 3), or {_ALLOWED}{hint}."
        )
    names = axes.upper() if isinstance(axes, str) else ""
    if not names.isalpha() or len(set(names)) != len(names) or not {"Y", "X"} <= set(names):
        raise InputError(f"axes {axes!r} are not understood: {_ALLOWED}.")
    if len(names) != len(shape):
        raise InputError(f"axes {axes!r} are {len(names)}, and the array of shape {shape} has {len(shape)}.")
    if "S" in names and shape[names.index("S")] != 3:
        raise InputError(
            f"axis S of axes {axes!r} has length {shape[names.index('S')]}: RGB has 3. For channels use C."
        )
    return names


def _channel(count: int, channel: int | None) -> int:
    if channel is None and count == 1:
        return 0
    if isinstance(channel, bool) or not isinstance(channel, SupportsIndex) or not 0 <= index(channel) < count:
        asked = "there are several" if channel is None else f"there is no channel {channel!r}"
        raise InputError(
            f"{asked}: give channel, the index of the one that shows nuclei, from 0 to {count - 1}."
        )
    return index(channel)
