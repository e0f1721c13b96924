import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nucbatch.core.tiles import Box
from nucbatch.inference.reflect import needed, reflected, window_of


@given(st.integers(1, 9), st.integers(-30, 0), st.integers(1, 30))
def test_reflection_is_numpys(length: int, begin: int, beyond: int) -> None:
    line = np.arange(length)
    expected = (
        np.pad(line, (-begin, beyond), mode="reflect") if length > 1 else np.zeros(length + beyond - begin)
    )
    np.testing.assert_array_equal(line[reflected(begin, length + beyond, length)], expected)


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(-12, 8), st.integers(-12, 8)),
    st.tuples(st.integers(1, 24), st.integers(1, 24)),
    st.booleans(),
)
def test_a_window_holds_the_pixels_that_reflection_says(
    shape: tuple[int, int], corner: tuple[int, int], sides: tuple[int, int], grey: bool
) -> None:
    y0, x0 = (min(begin, length - 1) for begin, length in zip(corner, shape, strict=True))
    window = Box(y0, x0, max(y0 + sides[0], 1), max(x0 + sides[1], 1))
    plane = np.arange(shape[0] * shape[1], dtype=np.float32).reshape(shape)
    image = np.broadcast_to(plane, (3, *shape)) if grey else np.stack([plane, -plane, plane + 100])
    found = window_of(image, window)
    rows = reflected(window.y0, window.y1, shape[0])
    columns = reflected(window.x0, window.x1, shape[1])
    np.testing.assert_array_equal(found, image[:, rows][:, :, columns])
    box = needed(window, shape)
    alone = window_of(image[:, *box.slices], window.shifted(-box.y0, -box.x0))
    np.testing.assert_array_equal(alone, found)
