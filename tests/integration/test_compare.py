"""``nucbatch compare`` from images to its page, with real runs."""

import csv
import json
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from click.testing import CliRunner

from nucbatch.cli.compare import compare
from nucbatch.core.errors import InputError
from nucbatch.core.numeric_kind import FLOAT32
from nucbatch.networks.checkpoint import load_weights, save_weights
from nucbatch.networks.locate import locate
from nucbatch.synthetic import make_field

pytestmark = pytest.mark.slow


def run(*arguments: object) -> str:
    result = CliRunner().invoke(compare, [str(one) for one in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six drawn fields with their true labels, and a model that misses dim nuclei."""
    folder = tmp_path_factory.mktemp("compare")
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for seed in range(6):
        images, labels = make_field(200, np.random.default_rng(seed), nuclei=25, channels=1)
        (folder / "images" / f"f{seed}.png").write_bytes(imagecodecs.png_encode(images[0]))
        (folder / "labels" / f"f{seed}.png").write_bytes(imagecodecs.png_encode(labels))
    network, card = load_weights(locate("default"))
    strict = card.objects.model_copy(update={"min_area_px": 500})
    save_weights(folder / "strict.safetensors", network, card.model_copy(update={"objects": strict}))
    return folder


def test_models_are_scored_side_by_side_and_against_the_first(data: Path, tmp_path: Path) -> None:
    models = f"default,{data / 'strict.safetensors'}"
    out = tmp_path / "out"
    options = "--workers", 1, "--precision", "fp32"
    output = run(data / "images", "--models", models, "--gt", data / "labels", "-o", out, *options)
    assert "object F1" in output
    settings = [
        json.loads((out / name / "run.json").read_text())["settings"] for name in ("default", "strict")
    ]
    assert [one["precision"] for one in settings] == [FLOAT32, FLOAT32]
    with (out / "compare.csv").open(newline="") as file:
        default, strict = csv.DictReader(file)
    assert (default["model"], strict["model"]) == ("default", "strict")
    assert default["parameters"] == strict["parameters"] == "1947044"
    assert float(strict["object_f1_50"]) < float(default["object_f1_50"])
    assert float(default["object_f1_50_low"]) <= float(default["object_f1_50"])
    document = json.loads((out / "compare.json").read_text())
    change = next(row for row in document["differences"]["strict"] if row["figure"] == "object_f1_50")
    assert change["shown"]
    assert change["high"] < 0
    page = (out / "compare.html").read_text()
    assert "<script" not in page
    assert page.count("<figure>") == 12
    with (out / "counts.csv").open(newline="") as file:
        assert [row["image"] for row in csv.DictReader(file)] == ["f0", "f1", "f2", "f3", "f4", "f5"]

    # Without true labels, in the same folder: the runs are kept, and agreement takes the place of scores.
    again = run(data / "images", "--models", models, "-o", out, *options)
    assert "default and strict: object F1" in again
    document = json.loads((out / "compare.json").read_text())
    assert document["differences"] == {}
    assert 0 < document["agreement"][0]["object_f1_50"] < 1


def test_two_different_models_are_needed(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least two different models"):
        run(data / "images", "--models", "default", "-o", tmp_path / "out")
    models = f"default,{data / 'strict.safetensors'}"
    with pytest.raises(InputError, match="need true labels"):
        run(data / "images", "--models", models, "--where", "a=b", "-o", tmp_path / "out")
