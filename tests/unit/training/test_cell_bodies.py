"""Dim bodies of cells in training images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nucbatch.training.cell_bodies import add_cell_bodies


def nuclei(side: int = 128, across: int = 20, spacing: int = 40) -> NDArray[np.int32]:
    y, x = np.mgrid[:side, :side]
    inside = np.hypot(y % spacing - spacing / 2, x % spacing - spacing / 2) < across / 2
    return np.where(inside, 1 + y // spacing * (side // spacing + 1) + x // spacing, 0).astype(np.int32)


def picture(labels: NDArray[np.int32], inside: float = 0.8, outside: float = 0.05) -> torch.Tensor:
    return (
        torch.from_numpy(np.where(labels > 0, inside, outside).astype(np.float32)).expand(3, -1, -1).clone()
    )


@pytest.mark.parametrize("seed", range(8))
def test_bodies_lie_around_nuclei_and_stay_dimmer_than_they_are(seed: int) -> None:
    labels = nuclei()
    before = picture(labels)
    after = add_cell_bodies(np.random.default_rng(seed), before.clone(), labels)
    assert after.shape == before.shape
    assert after.dtype == torch.float32
    assert after.min() >= 0
    assert after.max() <= 1
    ground, inside = after[0][labels == 0], after[0][labels > 0]
    assert (ground > 0.06).float().mean() > 0.05
    assert ground.max() < inside.median()
    assert torch.equal(after[0], after[1])


def test_bodies_of_dim_nuclei_are_dimmer() -> None:
    labels = nuclei()
    before = picture(labels)
    dim = (labels > 0) & (np.arange(128) >= 64)
    before[:, torch.from_numpy(dim)] = 0.15
    bright_side, dim_side = [], []
    for seed in range(10):
        after = add_cell_bodies(np.random.default_rng(seed), before.clone(), labels)[0]
        bright_side.append(float(after[:, :40][labels[:, :40] == 0].mean()))
        dim_side.append(float(after[:, 88:][labels[:, 88:] == 0].mean()))
    assert np.mean(dim_side) - 0.05 < 0.5 * (np.mean(bright_side) - 0.05)


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(picture(nuclei(), 0.2, 0.8), id="nuclei darker than the ground"),
        pytest.param(picture(nuclei()) * torch.tensor([1.0, 0.5, 0.7])[:, None, None], id="colour"),
    ],
)
def test_other_images_are_left_as_they_are(image: torch.Tensor) -> None:
    assert torch.equal(add_cell_bodies(np.random.default_rng(0), image, nuclei()), image)


@pytest.mark.parametrize("labels", [np.zeros((32, 32), np.int32), np.ones((32, 32), np.int32)])
def test_images_of_one_kind_of_pixel_are_left_as_they_are(labels: NDArray[np.int32]) -> None:
    image = torch.full((3, 32, 32), 0.5)
    assert torch.equal(add_cell_bodies(np.random.default_rng(0), image, labels), image)
