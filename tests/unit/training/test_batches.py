from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nucbatch.core.settings import NormaliseSettings
from nucbatch.masks.flows import REACH_PX
from nucbatch.training.augment import Batch, BatchSettings, make_batch
from nucbatch.training.data import find_data
from nucbatch.training.negatives import defocused, empty_field
from nucbatch.training.nuclei_task import loss_and_dice
from nucbatch.training.sample import Sample, load_sample, make_sample, sampling_weights

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
        assert batch.targets.shape == (4, 4, 64, 64)
        assert batch.weight.shape == (4, 1, 64, 64)
        assert 0 <= batch.images.min() <= batch.images.max() <= 1
        assert set(batch.targets[:, 0].unique().tolist()) <= {0.0, 1.0}
        assert (batch.targets[:, 1] <= batch.targets[:, 0]).all()
        assert 0 <= batch.targets.min() <= batch.targets.max() <= 1
        assert ((batch.radius > 0) == (batch.targets[:, :1] > 0)).all()
        assert (batch.weight >= 0).all()
        assert not batch.targets[:, :1][batch.weight == 0].any()


def picture_of(labels: NDArray[np.uint16]) -> Sample:
    return make_sample("drawn", "", (labels > 0).astype(np.uint8) * 255, labels, NormaliseSettings())


@pytest.mark.parametrize("elastic_px", [0.0, 8.0])
def test_image_and_target_are_turned_and_bent_together(elastic_px: float) -> None:
    labels = np.zeros((128, 128), np.uint16)
    labels[:, np.arange(128) % 32 < 16] = 1  # stripes: every crop sees both
    settings = BatchSettings(4, 64, empty_share=0, defocused_share=0, elastic_px=elastic_px)
    batch = make_batch([picture_of(labels)], np.ones(1), settings, NormaliseSettings(), seed=0, step=1)
    for image, target in zip(batch.images, batch.targets, strict=True):
        means = image[0][target[0] > 0].mean(), image[0][target[0] == 0].mean()
        assert abs(means[0] - means[1]) > 0.2  # inverted or not, the two sides stay apart


@pytest.mark.parametrize("step", range(8))
def test_offsets_lead_to_the_middle_of_the_nucleus_however_it_was_turned(step: int) -> None:
    labels = np.zeros((200, 200), np.uint16)
    labels[84:117, 92:109] = 1
    settings = BatchSettings(2, 160, empty_share=0, defocused_share=0, rescaled_share=0, centred_share=1)
    batch = make_batch([picture_of(labels)], np.ones(1), settings, NormaliseSettings(), seed=1, step=step)
    for maps, weight in zip(batch.targets, batch.weight, strict=True):
        inside = (maps[0] > 0) & (weight[0] > 0)
        rows, columns = torch.where(inside)
        away = (maps[2:, rows, columns] - 0.5) * 2 * REACH_PX
        ends = torch.stack([rows + away[0], columns + away[1]])
        assert (ends.std(dim=1) < 0.6).all()  # all in one place
        if min(rows.min(), columns.min()) > 0 and max(rows.max(), columns.max()) < 159:  # not cut by the crop
            middle = torch.stack([rows.float().mean(), columns.float().mean()])
            assert (ends.mean(dim=1) - middle).abs().max() < 0.7


def test_nuclei_keep_their_radius_in_px_of_the_crop() -> None:
    labels = np.zeros((96, 96), np.uint16)
    rows, columns = np.ogrid[:96, :96]
    labels[(rows - 48) ** 2 + (columns - 48) ** 2 <= 100] = 3
    settings = BatchSettings(
        4, 96, zoom=(2.0, 2.0), empty_share=0, defocused_share=0, rescaled_share=0, centred_share=1
    )
    batch = make_batch([picture_of(labels)], np.ones(1), settings, NormaliseSettings(), seed=0, step=0)
    for maps, radius in zip(batch.targets, batch.radius, strict=True):
        if maps[0, 0].any() or maps[0, -1].any() or maps[0, :, 0].any() or maps[0, :, -1].any():
            continue  # cut by the crop
        found = float(np.sqrt(int(maps[0].sum()) / np.pi))
        assert abs(found - float(radius.max())) < 0.06 * found


def test_a_mirrored_surround_has_no_weight() -> None:
    labels = np.zeros((40, 40), np.uint16)
    labels[10:30, 10:30] = 1
    settings = BatchSettings(2, 96, empty_share=0, defocused_share=0)
    batch = make_batch([picture_of(labels)], np.ones(1), settings, NormaliseSettings(), seed=0, step=0)
    assert 0 < (batch.weight == 0).float().mean() < 1


def test_empty_crops_have_nothing_to_find(samples: list[Sample]) -> None:
    batch = batch_at(samples, 0, BatchSettings(size=3, crop_px=64, empty_share=1.0))
    assert not batch.targets[:, :2].any()
    assert (batch.weight == 1).all()


def test_nuclei_far_out_of_focus_are_nothing_to_find(samples: list[Sample]) -> None:
    settings = BatchSettings(size=3, crop_px=64, empty_share=0, defocused_share=1.0)
    batch = make_batch(samples, sampling_weights(samples), settings, NormaliseSettings(), seed=3, step=0)
    assert not batch.targets[:, :2].any()
    spot = torch.zeros(3, 64, 64)
    spot[:, 28:36, 28:36] = 1
    haze = defocused(np.random.default_rng(0), spot, 8.0)
    assert 0 <= haze.min() <= haze.max() <= 1
    assert haze[:, 32, 50].min() > 0.1  # light has spread far beyond


@pytest.mark.parametrize("seed", range(12))
def test_an_empty_field_is_a_normalised_picture(seed: int) -> None:
    field = empty_field(np.random.default_rng(seed), 48, NormaliseSettings())
    assert field.shape == (3, 48, 48)
    assert 0 <= field.min() <= field.max() <= 1


def test_the_loss_is_least_for_the_truth_and_dice_is_then_one(samples: list[Sample]) -> None:
    batch = batch_at(samples, 2, BatchSettings(size=2, crop_px=64, empty_share=0, defocused_share=0))
    right = torch.logit(batch.targets.clamp(1e-4, 1 - 1e-4))
    best, dice = loss_and_dice(right, batch)
    assert dice == 1.0
    for wrong in (torch.zeros_like(right), -right):
        assert loss_and_dice(wrong, batch)[0] > best
