"""Every pixel of an object is in one run of that object, and nothing else is."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nucbatch.features.measured_objects import objects_of


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 20), st.integers(0, 20), st.integers(1, 6))
def test_runs_and_their_owners_are_the_label_image(seed: int, height: int, width: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = np.repeat(rng.integers(0, most + 1, (height, width)), 3, axis=1)
    labels = np.searchsorted(np.unique(np.append(drawn, 0)), drawn)  # without gaps
    objects = objects_of(labels)
    painted = np.zeros(labels.size, np.int64)
    for begin, end, owner in zip(objects.runs.begin, objects.runs.end, objects.owner, strict=True):
        assert (painted[begin:end] == 0).all()
        assert end <= (begin // labels.shape[1] + 1) * labels.shape[1]
        painted[begin:end] = owner + 1
    np.testing.assert_array_equal(painted.reshape(labels.shape), labels)
    assert (np.diff(objects.runs.begin) > 0).all()
