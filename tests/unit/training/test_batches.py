from pathlib import Path

import numpy as np
import pytest
import torch

from nucbatch.settings import NormaliseSettings
from nucbatch.training.augment import Batch, BatchSettings, make_batch
from nucbatch.training.data import Sample, find_data, load_sample, sampling_weights
from nucbatch.training.loss import loss_and_dice
from nucbatch.training.negatives import empty_field

SETTINGS = BatchSettings(size=4, crop_px=64)


@pytest.fixture(scope="module")
def samples(small_data: Path) -> list[Sample]:
    return [load_sample(entry, NormaliseSettings()) for entry in find_data(small_data).split("train")]


def batch_at(samples: list[Sample], step: int, settings: BatchSettings = SETTINGS) -> Batch:
    return make_batch(samples, sampling_weights(samples), settings, NormaliseSettings(), seed=3, step=step)


def test_a_batch_follows_from_seed_and_step_alone(samples: list[Sample]) -> None:
    first, again, other = batch_at(samples, 7), batch_at(samples, 7), batch_at(samples, 8)
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.targets, again.targets)
    assert not torch.equal(first.images, other.images)


def test_images_and_targets_stay_in_range_and_interior_lies_in_foreground(samples: list[Sample]) -> None:
    for step in range(10):
        batch = batch_at(samples, step)
        assert batch.images.shape == (4, 3, 64, 64)
        assert batch.targets.shape == (4, 2, 64, 64)
        assert batch.weight.shape == (4, 1, 64, 64)
        assert 0 <= batch.images.min() <= batch.images.max() <= 1
        assert set(batch.targets[:, 0].unique().tolist()) <= {0.0, 1.0}
        assert (batch.targets[:, 1] <= batch.targets[:, 0]).all()
        assert batch.weight.min() >= 1


def test_image_and_target_are_turned_together() -> None:
    labels = np.zeros((128, 128), np.uint16)
    labels[:, np.arange(128) % 32 < 16] = 1  # stripes: every crop sees both
    picture = (labels * 255).astype(np.uint8)
    maps = np.stack([picture, picture, picture, picture, picture // 2, np.full_like(picture, 32)])
    halves = Sample("halves", "", torch.from_numpy(maps), labels)
    batch = make_batch(
        [halves], np.ones(1), BatchSettings(4, 64, empty_share=0), NormaliseSettings(), seed=0, step=1
    )
    for image, target in zip(batch.images, batch.targets, strict=True):
        means = image[0][target[0] > 0].mean(), image[0][target[0] == 0].mean()
        assert abs(means[0] - means[1]) > 0.2  # inverted or not, the two sides stay apart


def test_empty_crops_have_nothing_to_find(samples: list[Sample]) -> None:
    batch = batch_at(samples, 0, BatchSettings(size=3, crop_px=64, empty_share=1.0))
    assert not batch.targets.any()
    assert (batch.weight == 1).all()


@pytest.mark.parametrize("seed", range(12))
def test_an_empty_field_is_a_normalised_picture(seed: int) -> None:
    field = empty_field(np.random.default_rng(seed), 48, NormaliseSettings())
    assert field.shape == (3, 48, 48)
    assert 0 <= field.min() <= field.max() <= 1


def test_the_loss_is_least_for_the_truth_and_dice_is_then_one(samples: list[Sample]) -> None:
    batch = batch_at(samples, 2, BatchSettings(size=2, crop_px=64, empty_share=0))
    right = torch.logit(batch.targets.clamp(1e-4, 1 - 1e-4))
    best, dice = loss_and_dice(right, batch)
    assert dice == 1.0
    for wrong in (torch.zeros_like(right), -right):
        assert loss_and_dice(wrong, batch)[0] > best
