import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from nucbatch.errors import InputError, SettingsConflict
from nucbatch.networks.checkpoint import load_weights
from nucbatch.settings import NormaliseSettings, ObjectSettings
from nucbatch.training.data import find_data, load_sample
from nucbatch.training.history import read_history
from nucbatch.training.loop import rate_factor, train
from nucbatch.training.recipe import Recipe, preset
from nucbatch.training.targets import interior
from nucbatch.training.validate import fitting_thresholds

TINY = Recipe(name="tiny", width=2, depth=2, steps=6, batch=2, crop_px=32, score_every=3)


class Interrupted(Exception):
    pass


def stop_after(steps: int) -> Callable[[int, float, float], None]:
    def progress(step: int, loss: float, dice: float) -> None:
        if step > steps:
            raise Interrupted

    return progress


def test_a_training_that_stops_and_resumes_ends_with_the_same_bytes(small_data: Path, tmp_path: Path) -> None:
    data = find_data(small_data)
    straight = train(data, tmp_path / "straight", TINY)
    with pytest.raises(Interrupted):
        train(data, tmp_path / "halting", TINY, progress=stop_after(4))
    resumed = train(data, tmp_path / "halting", TINY, resume=True)
    assert resumed.read_bytes() == straight.read_bytes()
    histories = [read_history(tmp_path / name / "history.csv", 99) for name in ("straight", "halting")]
    assert histories[0] == histories[1]
    assert [record.step for record in histories[0]] == [3, 6]


def test_a_training_leaves_weights_with_a_card_a_history_and_its_picture(
    small_data: Path, tmp_path: Path
) -> None:
    data = find_data(small_data)
    weights = train(data, tmp_path, TINY)
    _, card = load_weights(weights)
    assert card.data_sha256 == data.sha256
    assert card.training["steps"] == 6
    assert card.scores.keys() >= {"val pixel F1", "val object F1 at 0.5"}
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "train.json").read_text())["recipe"]["seed"] == 0


def test_a_folder_in_use_needs_resume_and_the_same_recipe(small_data: Path, tmp_path: Path) -> None:
    data = find_data(small_data)
    train(data, tmp_path, TINY)
    with pytest.raises(InputError, match="--resume"):
        train(data, tmp_path, TINY)
    with pytest.raises(SettingsConflict, match="other settings or data"):
        train(data, tmp_path, TINY.model_copy(update={"seed": 1}), resume=True)


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    recipe = Recipe(steps=100, warmup=0.1)
    factors = [rate_factor(step, recipe) for step in range(100)]
    assert factors[0] == 0.1
    assert max(factors) == factors[9] == 1
    assert factors[-1] < 0.001
    assert factors[10:] == sorted(factors[10:], reverse=True)


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="there are default"):
        preset("huge")


def test_thresholds_are_those_that_find_the_nuclei_best(small_data: Path) -> None:
    (sample,) = [load_sample(entry, NormaliseSettings()) for entry in find_data(small_data).split("val")]
    timid = np.stack([(sample.labels > 0) * 190, interior(sample.labels) * 120]).astype(np.uint8)
    timid[0][binary_dilation(sample.labels > 0, iterations=8) & (sample.labels == 0)] = 170
    chosen = fitting_thresholds([timid], [sample], ObjectSettings())
    assert 170 / 255 < chosen.foreground <= 190 / 255
    assert chosen.interior < 120 / 255
