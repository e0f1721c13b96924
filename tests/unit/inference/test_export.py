"""Exported models give the same probabilities in other programs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from nucbatch.cli.models import models
from nucbatch.core.errors import InputError
from nucbatch.inference.export.bioimageio_package import export_package
from nucbatch.inference.export.onnx_model import run_onnx
from nucbatch.networks.checkpoint import load_weights, save_weights
from nucbatch.networks.contract import build
from nucbatch.networks.locate import locate
from nucbatch.networks.model_card import Card

OTHERS_WARN = pytest.mark.filterwarnings("ignore")  # bioimageio.core and onnxscript use deprecated names

CONFIG = {"in_channels": 3, "outputs": 2, "width": 2, "depth": 2}


def saved(folder: Path, architecture: str = "unet", **changes: object) -> Path:
    torch.manual_seed(0)
    card = Card(
        name="tiny", architecture=architecture, config=CONFIG, outputs=("foreground", "interior"), **changes
    )
    path = folder / f"{architecture}.safetensors"
    save_weights(path, build(architecture, CONFIG), card)
    return path


def exported(weights: Path, kind: str) -> Path:
    path = weights.with_suffix(".zip" if kind == "bioimageio" else ".onnx")
    arguments = ["export", str(weights), "--format", kind, "-o", str(path)]
    result = CliRunner().invoke(models, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert path.name in result.output
    return path


@pytest.mark.slow
@OTHERS_WARN
def test_a_package_is_valid_and_its_test_images_are_reproduced_by_bioimageio(
    tmp_path: Path,
) -> None:
    from bioimageio.core import test_model as check_model
    from bioimageio.spec import ValidationContext, load_description

    package = exported(saved(tmp_path, pixel_size_um=0.5), "bioimageio")
    with ValidationContext(perform_io_checks=True):
        description = load_description(package)
    assert description.validation_summary.status in ("passed", "valid-format")
    summary = check_model(description, weight_format="torchscript", devices=["cpu"])
    assert summary.status == "passed", summary.format()


@pytest.mark.slow
@OTHERS_WARN
def test_onnxruntime_gives_the_same_probabilities(tmp_path: Path) -> None:
    weights = saved(tmp_path)
    content = exported(weights, "onnx").read_bytes()
    image = torch.rand(2, 1, 40, 64)
    with torch.inference_mode():
        wanted = torch.sigmoid(load_weights(weights)[0](image.expand(-1, 3, -1, -1)))
    assert np.abs(run_onnx(content, image.numpy()) - wanted.numpy()).max() < 1e-6


def test_a_network_that_needs_its_image_size_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not run on images of other sizes"):
        exported(saved(tmp_path, "unet-2015"), "bioimageio")
    assert not (tmp_path / "unet-2015.zip").exists()


def test_a_normalisation_that_only_nucbatch_knows_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="its normalisation 'otsu' needs code of nucbatch"):
        export_package(locate("otsu-watershed"), tmp_path / "out.zip")


def test_a_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out.zip").touch()
    with pytest.raises(InputError, match="exists: name another file"):
        export_package(locate("default"), tmp_path / "out.zip")
