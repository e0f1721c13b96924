"""Fitting what a model calls familiar to the images that it was made with."""

import numpy as np
import pytest

from nucbatch.core.familiarity import FIGURES
from nucbatch.synthetic.field import make_field
from nucbatch.training.familiarity_fit import SeenImage, familiarity, figures_of_image


def seen(count: int, seed: int) -> list[SeenImage]:
    rng = np.random.default_rng(seed)
    return [SeenImage(f"g{place // 2}", rng.normal(size=len(FIGURES))) for place in range(count)]


def test_images_far_from_all_examples_are_unfamiliar() -> None:
    found = familiarity([SeenImage(one.group, np.r_[one.figures[:-1], 0.0]) for one in seen(300, 1)])
    assert found is not None
    assert len(found.examples) == 100
    same = [np.r_[one.figures[:-1], 0.0] for one in seen(200, 2)]
    assert np.mean([bool(found.reason(one)) for one in same]) < 0.05
    assert all(found.reason(one + np.r_[9.0, np.zeros(len(FIGURES) - 1)]) for one in same)


def test_too_few_images_make_nothing_unfamiliar() -> None:
    assert familiarity(seen(29, 1)) is None


def test_figures_come_from_image_and_labels() -> None:
    images, labels = make_field(160, np.random.default_rng(0), nuclei=12)
    found = figures_of_image(images[0], labels)
    assert found is not None
    assert found[FIGURES.index("colour")] == 0
    assert 2 ** found[0] > 8
    larger = figures_of_image(
        np.kron(images[0], np.ones((4, 4), images[0].dtype)), np.kron(labels, np.ones((4, 4), int))
    )
    assert larger is not None
    assert larger[0] - found[0] == pytest.approx(2, abs=0.01)
    assert figures_of_image(images[0], np.zeros_like(labels)) is None
