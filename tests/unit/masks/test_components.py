import numpy as np
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from skimage.measure import label

from nucbatch.core.rle import runs_of
from nucbatch.core.tiles import Box
from nucbatch.masks.components import components_of, reach, without


@hypothesis_settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 10_000), st.floats(0.1, 0.9), st.data())
def test_components_reach_into_a_box_and_can_be_left_out(
    height: int, width: int, seed: int, share: float, data: st.DataObject
) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    y0, x0 = data.draw(st.integers(0, height)), data.draw(st.integers(0, width))
    core = Box(y0, x0, data.draw(st.integers(y0, height)), data.draw(st.integers(x0, width)))
    components = components_of(mask)
    inside = np.unique(components.labels[core.slices])
    chosen = np.random.default_rng(seed).random(components.count + 1) < 0.3
    chosen[0] = False
    assert reach(components, chosen, core) == chosen[inside].any()
    rest = without(components, chosen)
    left = (components.labels > 0) & ~chosen[components.labels]
    np.testing.assert_array_equal(rest.labels, label(left, connectivity=1))
    np.testing.assert_array_equal(rest.boxes[1:], components.boxes[1:][~chosen[1:]])
    np.testing.assert_array_equal(rest.runs.begin, runs_of(left).begin)
    np.testing.assert_array_equal(rest.runs.end, runs_of(left).end)
    assert without(components, np.zeros_like(chosen)) is components
