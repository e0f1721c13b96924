"""A network learns the maps of its teachers beside the labels."""

from pathlib import Path

import pytest
import torch
from tiny_training import TINY

from nucbatch.core.errors import InputError, SettingsConflict
from nucbatch.core.settings import NormaliseSettings
from nucbatch.networks.checkpoint import load_weights, read_card, save_weights
from nucbatch.training.data import DataSet
from nucbatch.training.loop import train
from nucbatch.training.nuclei_task import NucleiTask, taught_loss
from nucbatch.training.recipe import PRESETS
from nucbatch.training.teachers import Teachers

SHORT = TINY.model_copy(update={"steps": 2, "score_every": 2, "precision": "fp32"})
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(data: DataSet, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two networks, trained from other seeds."""
    folder = tmp_path_factory.mktemp("teachers")
    return [train(data, folder / str(seed), SHORT.model_copy(update={"seed": seed})) for seed in (1, 2)]


def test_the_maps_are_the_mean_of_all_teachers(weights: list[Path]) -> None:
    images = torch.rand(2, 3, 32, 32)
    each = [Teachers([path], SHORT, CPU).maps(images) for path in weights]
    both = Teachers(weights, SHORT, CPU).maps(images)
    assert not torch.allclose(*each)
    torch.testing.assert_close(both, (each[0] + each[1]) / 2)


def test_the_loss_is_shared_between_labels_and_teachers(data: DataSet, weights: list[Path]) -> None:
    teachers = Teachers(weights, SHORT, CPU)
    logits, losses = torch.randn(2, 4, 32, 32), {}
    for share in (0.0, 0.25, 1.0):
        task = NucleiTask(data, SHORT.model_copy(update={"taught": share}), teachers=teachers)
        batch = task.batch(0)
        losses[share], _ = task.loss(logits, batch)
    alone, _ = NucleiTask(data, SHORT).loss(logits, batch)
    torch.testing.assert_close(losses[0.0], alone)
    torch.testing.assert_close(losses[1.0], taught_loss(logits, teachers.maps(batch.images), batch))
    torch.testing.assert_close(losses[0.25], 0.75 * losses[0.0] + 0.25 * losses[1.0])


def test_no_maps_are_better_than_the_teachers_own(data: DataSet, weights: list[Path]) -> None:
    task = NucleiTask(data, SHORT)
    batch = task.batch(3)
    logits = torch.randn(2, 4, 32, 32, requires_grad=True)
    maps = torch.sigmoid(torch.randn(2, 4, 32, 32))
    taught_loss(logits, maps, batch).backward()
    own = torch.logit(maps)
    own.requires_grad_(True)
    taught_loss(own, maps, batch).backward()
    assert logits.grad is not None
    assert own.grad is not None
    assert own.grad.abs().max() < 1e-6 < logits.grad.abs().max()


def test_pixels_that_are_ignored_are_not_learnt_from_teachers_either(data: DataSet) -> None:
    batch = NucleiTask(data, SHORT).batch(0)
    ignored = torch.zeros(32, 32, dtype=torch.bool)
    ignored[:16] = True
    batch.weight[:, :, ignored] = 0
    logits = torch.randn(2, 4, 32, 32, requires_grad=True)
    taught_loss(logits, torch.full((2, 4, 32, 32), 0.5), batch).backward()
    assert logits.grad is not None
    assert logits.grad[:, :, ignored].abs().max() == 0 < logits.grad[:, :, ~ignored].abs().max()


def test_the_card_names_the_teachers_and_a_resumed_training_needs_the_same(
    data: DataSet, weights: list[Path], tmp_path: Path
) -> None:
    taught = train(data, tmp_path, SHORT, teachers=weights)
    named = ", ".join(f"{card.name} {card.sha256[:12]}" for card in map(read_card, weights))
    assert read_card(taught).training["teachers"] == named
    first, _ = load_weights(taught)
    alone, _ = load_weights(train(data, tmp_path / "alone", SHORT))
    pairs = zip(first.parameters(), alone.parameters(), strict=True)
    assert any(not torch.equal(one, other) for one, other in pairs)
    with pytest.raises(SettingsConflict):
        train(data, tmp_path, SHORT.model_copy(update={"steps": 4}), teachers=weights[:1], resume=True)


def test_teachers_that_do_not_fit_are_refused(weights: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't learn from teachers"):
        Teachers(weights, PRESETS["paper"], CPU)
    with pytest.raises(InputError, match="predicts foreground, interior, offset_y, offset_x"):
        Teachers(weights, SHORT.model_copy(update={"outputs": ("foreground", "interior")}), CPU)
    network, card = load_weights(weights[0])
    other = tmp_path / "other.safetensors"
    save_weights(
        other, network, card.model_copy(update={"normalise": NormaliseSettings(method="percentiles")})
    )
    with pytest.raises(InputError, match="same normalisation"):
        Teachers([other], SHORT, CPU)
