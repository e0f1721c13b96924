from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy

from nucbatch.core.errors import InputError
from nucbatch.networks.unet import UNet
from nucbatch.scoring.pixel import pixel_counts
from nucbatch.training.data import DataSet, find_data
from nucbatch.training.paper_task import PaperBatch, PaperTask, Split, boundaries, evaluate, region_filled
from nucbatch.training.preprocessing_figure import WINDOW_PX, Shown, fullest_window, overlaid
from nucbatch.training.recipe import preset

PAPER = preset("paper").model_copy(update={"batch": 2, "crop_px": 64})


@pytest.fixture(scope="module")
def task(small_data: Path) -> PaperTask:
    return PaperTask(find_data(small_data), PAPER)


def test_batches_are_resized_rgb_between_0_and_1_with_one_mask(task: PaperTask) -> None:
    batch = task.batch(0)
    assert batch.images.shape == (2, 3, 64, 64)
    assert batch.masks.shape == (2, 1, 64, 64)
    assert batch.images.min() >= 0
    assert 0.5 < batch.images.max() <= 1
    assert set(batch.masks.unique().tolist()) == {0, 1}
    assert (batch.images[batch.masks.expand(-1, 3, -1, -1) > 0].mean()) > 2 * batch.images.mean()


def test_an_epoch_sees_every_image_and_the_next_in_another_order(task: PaperTask) -> None:
    assert task.steps_per_epoch == 3  # five images, two at a time: the last batch is filled from the first
    epochs = [[task.batch(step).images for step in range(begin, begin + 3)] for begin in (0, 3, 6, 9)]
    seen = [torch.cat(epoch).flatten(1).sum(1).tolist() for epoch in epochs]
    assert all(len(set(epoch[:5])) == 5 and epoch[5] == epoch[0] for epoch in seen)
    assert len({tuple(epoch) for epoch in seen}) > 1
    assert torch.equal(task.batch(4).images, task.batch(4).images)


def test_the_loss_is_plain_binary_cross_entropy(task: PaperTask) -> None:
    logits = torch.tensor([[[[2.0, -1.0], [0.0, 3.0]]]])
    masks = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    loss, dice = task.loss(logits, PaperBatch(torch.zeros(1, 3, 2, 2), masks, masks >= 0))
    assert loss == pytest.approx(binary_cross_entropy(torch.sigmoid(logits), masks).item())
    assert dice == pytest.approx((2 * 1 + 1) / (3 + 2 + 1))


def test_evaluation_pools_the_pixels_of_the_split() -> None:
    torch.manual_seed(0)
    network = UNet(width=2, depth=1)
    split = Split(
        torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8),
        torch.rand(5, 1, 8, 8) > 0.5,
        torch.ones(5, 1, 8, 8, dtype=torch.bool),
        (1.0,) * 5,
    )
    loss, counts = evaluate(network, split, batch=2)
    with torch.no_grad():
        probability = torch.sigmoid(network.eval()(split.images.float() / 255))
    assert loss == pytest.approx(binary_cross_entropy(probability, split.masks.float()).item(), rel=1e-5)
    assert counts == pixel_counts(split.masks.numpy(), probability.numpy() >= 0.5)


def test_scores_name_split_and_size(task: PaperTask) -> None:
    _, scores = task.finish(UNet(width=2, depth=1), test=True)
    assert set(scores) == {
        f"val at 64 px {name}"
        for name in ("pixel accuracy", "pixel precision", "pixel recall", "pixel F1", "pixel Jaccard", "loss")
    }


def test_diameters_are_those_after_resizing(task: PaperTask, small_data: Path) -> None:
    whole = PaperTask(find_data(small_data), PAPER.model_copy(update={"crop_px": 96}))
    assert task.nucleus_diameter_px == pytest.approx(whole.nucleus_diameter_px * 64 / 96, abs=0.1)


def test_nothing_to_learn_from_is_refused() -> None:
    with pytest.raises(InputError, match="nothing to learn from"):
        PaperTask(DataSet((), ""), PAPER)


def test_outlines_run_inside_each_nucleus_and_between_touching_ones() -> None:
    labels = np.zeros((7, 9), np.uint16)
    labels[1:6, 1:5], labels[1:6, 5:8] = 1, 2
    expected = labels > 0
    expected[2:5, 2:4] = False
    expected[2:5, 6:7] = False
    np.testing.assert_array_equal(boundaries(labels), expected)


def test_filling_closes_holes_but_not_the_ground_inside_a_ring_of_nuclei() -> None:
    labels = np.zeros((9, 9), np.uint16)
    labels[1:8, 1:8] = 1
    labels[3:6, 3:6] = 0
    np.testing.assert_array_equal(region_filled(labels)[1:8, 1:8], True)
    labels[1:8, 4:8][labels[1:8, 4:8] > 0] = 2  # the same ring, of two nuclei
    np.testing.assert_array_equal(region_filled(labels), labels > 0)


def test_pictures_show_the_window_with_the_most_nuclei() -> None:
    filled = np.zeros((WINDOW_PX, 3 * WINDOW_PX), np.bool_)
    filled[10:20, -30:-10] = True
    window = fullest_window(Shown("", np.zeros((3, *filled.shape), np.float32), filled, filled))
    assert window.filled.shape == (WINDOW_PX, WINDOW_PX)
    assert window.filled.sum() == filled.sum()
    drawn = overlaid(window)
    assert (drawn[~window.filled] == 0).all()
    assert drawn[window.filled].min() > 0


def test_the_picture_of_the_preprocessing_is_written(task: PaperTask, tmp_path: Path) -> None:
    task.draw(tmp_path)
    assert (tmp_path / "preprocessing.png").read_bytes().startswith(b"\x89PNG")
