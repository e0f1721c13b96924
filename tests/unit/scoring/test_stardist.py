"""Object figures equal StarDist's ``matching``, where its wheel is at hand.

StarDist needs TensorFlow to be imported; its matching doesn't, so that file alone is loaded:
``pip install --no-deps stardist csbdeep tqdm``. Without it the comparison is skipped and
``test_reference`` stands alone.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from nucbatch.scoring import THRESHOLDS, score_image, score_images
from nucbatch.synthetic import make_field

# StarDist matches at the threshold too, we above it, as the Data Science Bowl. Its scores are float32, and no
# IoU of nuclei this small lies this closely above a threshold.
ABOVE = 1e-6


@pytest.fixture(scope="module")
def matching():
    spec = importlib.util.find_spec("stardist")
    if spec is None or spec.origin is None or importlib.util.find_spec("csbdeep") is None:
        pytest.skip("StarDist is not installed: pip install --no-deps stardist csbdeep tqdm")
    file = importlib.util.spec_from_file_location(
        "stardist_matching", Path(spec.origin).parent / "matching.py"
    )
    module = importlib.util.module_from_spec(file)
    sys.modules[file.name] = module
    file.loader.exec_module(module)
    return module


def disturbed(truth, rng):
    """Nuclei moved by a pixel or two, some lost, some joined."""
    pred = np.roll(truth, rng.integers(-2, 3, 2), (0, 1))
    numbers = rng.integers(0, truth.max() + 1, truth.max() + 1)
    return np.where(rng.random(truth.max() + 1) < 0.2, numbers, np.arange(truth.max() + 1))[pred]


@pytest.mark.parametrize("seed", range(4))
def test_matching_at_every_threshold(matching, seed):
    rng = np.random.default_rng(seed)
    truth = make_field(256, rng, nuclei=30)[1].astype(np.int32)
    pred = disturbed(truth, rng).astype(np.int32)
    figures = score_image("x", truth, pred).figures()
    for threshold in THRESHOLDS:
        percent = round(threshold * 100)
        theirs = matching.matching(truth, pred, thresh=threshold + ABOVE)
        assert figures[f"object_tp_{percent}"] == theirs.tp
        assert figures[f"object_fp_{percent}"] == theirs.fp
        assert figures[f"object_fn_{percent}"] == theirs.fn
        assert figures[f"ap_{percent}"] == pytest.approx(theirs.accuracy)
        assert figures[f"object_f1_{percent}"] == pytest.approx(theirs.f1)
    assert figures["pq"] == pytest.approx(matching.matching(truth, pred, thresh=0.5 + ABOVE).panoptic_quality)


def test_they_match_at_exactly_half_and_we_do_not(matching):
    truth, pred = np.array([[1, 1]]), np.array([[1, 0]])
    assert matching.matching(truth, pred, thresh=0.5).tp == 1
    assert score_image("x", truth, pred).objects.tp[0] == 0


def test_pooled_figures_are_those_of_a_data_set(matching):
    rng = np.random.default_rng(7)
    truths = [make_field(128, rng, nuclei=count)[1].astype(np.int32) for count in (3, 9, 15)]
    preds = [disturbed(truth, rng).astype(np.int32) for truth in truths]
    pooled = score_images(zip("abc", truths, preds, strict=True)).pooled
    theirs = matching.matching_dataset(truths, preds, thresh=0.5 + ABOVE, show_progress=False)
    assert (pooled.objects.tp[0], pooled.objects.fp[0], pooled.objects.fn[0]) == (
        theirs.tp,
        theirs.fp,
        theirs.fn,
    )
    assert pooled.objects.pq == pytest.approx(theirs.panoptic_quality)
