"""Fitting the interval of counts to validation images."""

import numpy as np

from nucbatch.experiment.intervals import Doubt, field_spans
from nucbatch.training.interval_fit import CountedImage, interval_model


def images(count: int, seed: int, per_group: int = 2) -> list[CountedImage]:
    """Images whose error grows with their doubt; those of a group share half of it; too few are found."""
    rng = np.random.default_rng(seed)
    found = []
    for group in range(count // per_group):
        shared = rng.normal()
        for _ in range(per_group):
            doubt = float(rng.exponential(4)) + 0.1
            error = (0.5 + (shared + rng.normal()) / 2**0.5) * doubt
            nuclei = int(rng.integers(20, 100))
            found.append(CountedImage(f"g{group}", nuclei, max(0, nuclei + round(error)), doubt, 5))
    return found


def test_nine_of_ten_images_lie_in_their_interval() -> None:
    model = interval_model(images(400, seed=1))
    assert model is not None
    others = images(1000, seed=2)
    places = {(f"{place}", 0): one.found for place, one in enumerate(others)}
    doubts = {(f"{place}", 0): Doubt(one.doubt, one.at_border) for place, one in enumerate(others)}
    spans = list(field_spans(model, places, doubts).values())
    inside = [one.ends[0] <= image.true <= one.ends[1] for one, image in zip(spans, others, strict=True)]
    assert 0.86 < np.mean(inside) < 0.95
    assert model.shift > 0.1
    widths = np.array([one.half for one in spans])
    sure = np.array([one.doubt < 2 for one in others])
    assert widths[sure].mean() < widths[~sure].mean() / 2


def test_too_few_groups_give_no_interval() -> None:
    assert interval_model(images(38, seed=1)) is None
