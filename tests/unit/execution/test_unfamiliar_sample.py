"""Fields that are unlike all images of the model are named before a run."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

from nucbatch.cli.inspect import inspect
from nucbatch.core.calibration import Calibration, ConfidenceModel, Standardised
from nucbatch.core.familiarity import FIGURES, Familiarity
from nucbatch.networks.checkpoint import load_weights, save_with_card
from nucbatch.networks.locate import locate
from nucbatch.synthetic.field import make_field

COUNT = len(FIGURES)


def weights_that_know(path: Path, diameter_px: float | None) -> Path:
    """The shipped weights as if made with images of nuclei of one size alone; None: without a calibration."""
    card = load_weights(locate("default"))[1]
    calibration = None
    if diameter_px is not None:
        size = (float(np.log2(diameter_px)), *[None] * (COUNT - 1))
        lows, highs = ((size[0], *[far] * (COUNT - 1)) for far in (-99.0, 99.0))
        known = Familiarity(spreads=(0.1,) * COUNT, lows=lows, highs=highs, examples=(size,), limit=20.0)
        scaling = Standardised(names=("one",), means=(0.0,), spreads=(1.0,))
        blank = ConfidenceModel(evidence=scaling, linear=(0.0,), square=(0.0,), constant=0.0)
        calibration = Calibration(images=1, groups=1, confidence=blank, familiarity=known)
    save_with_card(locate("default"), path, card.model_copy(update={"calibration": calibration}))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for number, nuclei in enumerate((12, 12, 0)):
        image, _ = make_field(160, np.random.default_rng(number), nuclei=nuclei)
        tifffile.imwrite(tmp_path / "images" / f"{number}.tif", image[0])
    return tmp_path / "images"


def looked(folder: Path, weights: Path, *options: str) -> str:
    result = CliRunner().invoke(
        inspect, [str(folder), "--unfamiliar", "3", "--model", str(weights), *options], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow
def test_inspect_names_fields_unlike_all_images_of_the_model_with_the_reason(folder: Path) -> None:
    weights = weights_that_know(folder.parent / "small.safetensors", 4.0)
    text = " ".join(looked(folder, weights).split())
    assert "Unlike all images of the model: 2 of 2 fields with nuclei" in text
    assert "times larger than any seen" in text
    found = json.loads(looked(folder, weights, "--json"))["unfamiliar"]
    assert (found["looked_at"], found["without_nuclei"], len(found["unfamiliar"])) == (3, 1, 2)
    known = json.loads(looked(folder, weights_that_know(weights, 25.0), "--json"))["unfamiliar"]
    assert known["unfamiliar"] == []


def test_a_model_without_a_calibration_is_refused_with_the_mend(folder: Path) -> None:
    weights = weights_that_know(folder.parent / "none.safetensors", None)
    result = CliRunner().invoke(inspect, [str(folder), "--unfamiliar", "1", "--model", str(weights)])
    assert result.exception is not None
    assert "nucbatch models calibrate" in str(result.exception)
