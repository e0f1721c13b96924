"""Named axes: the images are taken out of an array, and what is not clear is refused."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from nucbatch.core.errors import InputError
from nucbatch.core.image_axes import image_stack


@pytest.mark.parametrize(
    ("axes", "shape", "found", "colour"),
    [
        (None, (4, 5), (4, 5), False),
        (None, (4, 5, 3), (4, 5, 3), True),
        ("XY", (5, 4), (4, 5), False),
        ("SYX", (3, 4, 5), (4, 5, 3), True),
        ("TYX", (7, 4, 5), (7, 4, 5), False),
        ("yxt", (4, 5, 7), (7, 4, 5), False),
        ("ZYX", (7, 4, 5), (4, 5), False),
        ("CYX", (1, 4, 5), (4, 5), False),
        ("TCZYX", (7, 1, 2, 4, 5), (7, 4, 5), False),
        ("NYXS", (2, 4, 5, 3), (2, 4, 5, 3), True),
    ],
)
def test_the_images_of_named_axes(
    axes: str | None, shape: tuple[int, ...], found: tuple[int, ...], colour: bool
) -> None:
    for array in (np.zeros(shape), da.zeros(shape)):
        stack, is_colour = image_stack(array, axes, None)
        assert (stack.shape, is_colour) == (found, colour)
        assert type(stack) is type(array)


def test_pixels_are_those_of_the_channel_and_the_brightest_z_step() -> None:
    array = np.arange(2 * 3 * 4 * 5).reshape(4, 3, 5, 2)  # Y Z X C
    stack, _ = image_stack(array, "YZXC", np.int64(1))
    np.testing.assert_array_equal(stack, array[:, 2, :, 1])


@pytest.mark.parametrize(
    ("shape", "axes", "channel", "words"),
    [
        ((2, 4, 5), None, None, r'axes="CYX"'),
        ((2, 3, 4, 5), None, None, r'axes="TCYX"'),
        ((5,), None, None, "give .Y, X."),
        ((4, 5), "CYX", None, "are 3, and the array .* has 2"),
        ((4, 5), "YY", None, "not understood"),
        ((4, 5), "CZ", None, "not understood"),
        ((2, 4, 5), "2YX", None, "not understood"),
        ((2, 4, 5), ("C", "Y", "X"), None, "not understood"),
        ((2, 4, 5), "SYX", None, "For channels use C"),
        ((2, 4, 5), "CYX", None, "there are several: give channel, .* from 0 to 1"),
        ((2, 4, 5), "CYX", 2, "no channel 2"),
        ((2, 4, 5), "CYX", -1, "no channel -1"),
        ((2, 4, 5), "CYX", "DAPI", "no channel 'DAPI'"),
        ((2, 4, 5), "TYX", 0, "no axis C"),
        ((4, 5), None, 0, "no axis C"),
    ],
)
def test_what_is_not_clear_is_refused_with_the_mend(
    shape: tuple[int, ...], axes: str | None, channel: int | None, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        image_stack(np.zeros(shape), axes, channel)
