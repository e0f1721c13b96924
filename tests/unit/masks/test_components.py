import numpy as np
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from skimage.measure import label

from nucbatch.masks.components import components_of, only, touching
from nucbatch.runs import runs_of
from nucbatch.tiles import Box


@hypothesis_settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 10_000), st.floats(0.1, 0.9), st.data())
def test_components_are_chosen_by_the_box_they_touch(
    height: int, width: int, seed: int, share: float, data: st.DataObject
) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    y0, x0 = data.draw(st.integers(0, height)), data.draw(st.integers(0, width))
    core = Box(y0, x0, data.draw(st.integers(y0, height)), data.draw(st.integers(x0, width)))
    components = components_of(mask)
    kept = touching(components, core)
    inside = np.unique(components.labels[core.slices])
    assert np.flatnonzero(kept).tolist() == inside[inside > 0].tolist()
    chosen = only(components, kept)
    alone = np.where(kept[components.labels], components.labels, 0) > 0
    np.testing.assert_array_equal(chosen.labels, label(alone, connectivity=1))
    np.testing.assert_array_equal(chosen.boxes[1:], components.boxes[kept])
    np.testing.assert_array_equal(chosen.runs.begin, runs_of(alone).begin)
    np.testing.assert_array_equal(chosen.runs.end, runs_of(alone).end)
    assert only(components, np.ones(components.count + 1, np.bool_)) is components
