"""Packages of bioimage.io: what is taken in, with which numbers, and what is refused."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from foreign_package import (
    STANDARDISE,
    Spots,
    build,
    description,
    put_at,
    refused,
    script_of,
    spots_image,
    standardised,
)
from safetensors.torch import save
from torch import Tensor, nn

from nucbatch.cli.models import models
from nucbatch.core.errors import InputError, PrecisionError
from nucbatch.inference.device import CpuDevice
from nucbatch.inference.export.bioimageio_package import export_package
from nucbatch.inference.normalise import find_constants, normalise
from nucbatch.inference.predict import grid_of, predict_image
from nucbatch.networks.checkpoint import load_weights, read_card
from nucbatch.networks.contract import architectures
from nucbatch.networks.contract import build as build_network
from nucbatch.networks.locate import locate
from nucbatch.networks.packages.reach import measure
from nucbatch.networks.prune import prune
from nucbatch.training.chosen_recipe import chosen_recipe


def test_a_package_gives_the_probabilities_of_its_own_network(tmp_path: Path) -> None:
    path = build(tmp_path / "spots.zip")
    network, card = load_weights(locate(str(path)))
    assert (card.name, card.outputs) == ("spots", ("foreground", "interior"))
    image = spots_image()[0, 0].astype(np.uint16)
    seen = normalise(image, find_constants(image, card.normalise))
    maps = CpuDevice(network, "fp32").begin([seen]).wait()[0] / 255
    with torch.no_grad():
        foreground, boundary = (
            Spots().eval()(torch.from_numpy(standardised(image[None, None] * 1.0)))[0].numpy()
        )
    assert np.abs(maps[0] - foreground).max() <= 0.5 / 255 + 1e-5
    assert np.abs(maps[1] - foreground * (1 - boundary)).max() <= 0.5 / 255 + 1e-5


@pytest.mark.parametrize("name", ["folder", "folder/rdf.yaml", "folder/bioimageio.yaml"])
def test_a_folder_or_its_description_is_a_package_too(tmp_path: Path, name: str) -> None:
    build(tmp_path / "folder")
    if name.endswith("bioimageio.yaml"):
        (tmp_path / "folder" / "rdf.yaml").rename(tmp_path / name)
    assert read_card(locate(str(tmp_path / name))).architecture == "package"


def test_a_package_made_by_nucbatch_is_the_same_model(tmp_path: Path) -> None:
    weights = locate("default").read_bytes()
    described = {
        "type": "model",
        "format_version": "0.5.0",
        "name": "x",
        "inputs": [],
        "outputs": [],
        "weights": {},
        "attachments": [{"source": "nucbatch.safetensors"}],
        "config": {"nucbatch": {"weights": "nucbatch.safetensors"}},
    }
    with zipfile.ZipFile(tmp_path / "own.zip", "w") as package:
        package.writestr("rdf.yaml", yaml.safe_dump(described))
        package.writestr("nucbatch.safetensors", weights)
    assert read_card(tmp_path / "own.zip") == read_card(locate("default"))


def test_tiles_change_no_probability(tmp_path: Path) -> None:
    """The halo is the measured one: seams show nothing but the last bits of floats."""
    network, card = load_weights(build(tmp_path / "spots.zip", changed=_claims_no_halo))
    assert (network.stride, network.receptive_radius_px) == (2, 4)
    rng = np.random.default_rng(1)
    grey = rng.integers(0, 900, (150, 131)).astype(np.uint16)
    image = normalise(grey, find_constants(grey, card.normalise))
    device = CpuDevice(network, "fp32")
    large, small = (
        predict_image(image, grid_of(network, side, side), lambda tile: device.begin([tile]).wait()[0])
        for side in (96, 32)
    )
    assert np.abs(large.astype(int) - small).max() <= 1


def _claims_no_halo(described: dict[str, Any]) -> None:
    for axis in described["outputs"][0]["axes"][2:]:
        axis.pop("halo")


@pytest.mark.parametrize("name", sorted(set(architectures()) - {"sharp-dense-unet"}))
def test_the_measured_radius_is_that_of_the_published_networks(name: str) -> None:
    network = build_network(name, {"in_channels": 3, "outputs": 1, "width": 2, "depth": 2}).eval()
    assert measure(network, None) == (
        network.stride if network.stride >= 16 else 16,
        network.receptive_radius_px,
    )


@pytest.mark.parametrize(
    ("steps", "arithmetic"),
    [
        ([{"id": "zero_mean_unit_variance"}], standardised),
        (
            [{"id": "scale_range", "kwargs": {"min_percentile": 3, "max_percentile": 99.5}}],
            lambda image: (image - np.percentile(image, 3)) / np.ptp(np.percentile(image, (3, 99.5))),
        ),
        (
            [
                {"id": "scale_linear", "kwargs": {"gain": 2.0, "offset": 5.0}},
                {"id": "scale_range", "kwargs": {"axes": ["y", "x"]}},
                {"id": "clip", "kwargs": {"min": 0.1, "max": 0.8}},
                {"id": "scale_linear", "kwargs": {"gain": 3.0}},
            ],
            lambda image: 3 * np.clip((image - image.min()) / np.ptp(image), 0.1, 0.8),
        ),
        ([{"id": "scale_linear", "kwargs": {"gain": 0.01, "offset": -1.0}}], lambda image: image / 100 - 1),
        (
            [{"id": "fixed_zero_mean_unit_variance", "kwargs": {"mean": 120.0, "std": 80.0}}],
            lambda image: (image - 120) / 80,
        ),
        ([{"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}, STANDARDISE], standardised),
    ],
)
def test_preprocessing_is_that_of_the_package(tmp_path: Path, steps: list[Any], arithmetic: Any) -> None:
    def own(image: np.ndarray) -> np.ndarray:
        return np.asarray(arithmetic(image.astype(np.float64)), np.float32)

    def changed(described: dict[str, Any]) -> None:
        described["inputs"][0]["preprocessing"] = steps

    network, card = load_weights(build(tmp_path / "p", normalise=own, changed=changed))
    image = np.rint(spots_image())
    seen = normalise(
        image[0, 0].astype(np.uint16), find_constants(image[0, 0].astype(np.uint16), card.normalise)
    )
    with torch.no_grad():
        found = torch.sigmoid(network(torch.from_numpy(seen[None].copy())))[:, 0]
        wanted = Spots().eval()(torch.from_numpy(own(image)))[:, 0]
    assert (found - wanted).abs().max() < 1e-3


class _Colour(nn.Module):
    """Foreground where the second colour exceeds the others."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(8 * (x[:, 1:2] - x[:, :1] - x[:, 2:]))


def test_a_model_of_three_channels_sees_the_colours(tmp_path: Path) -> None:
    image = np.zeros((1, 3, 64, 64), np.float32)
    image[:, 1, 10:30, 10:30] = 200
    image[:, :, 40:50, 40:50] = 200
    with torch.no_grad():
        expected = _Colour()(torch.from_numpy(image / 200)).numpy()

    def changed(described: dict[str, Any]) -> None:
        described["inputs"][0]["preprocessing"] = [
            {"id": "scale_range", "kwargs": {"axes": ["channel", "y", "x"]}}
        ]
        described["outputs"][0]["axes"][1]["channel_names"] = ["nuclei"]
        described["inputs"][0]["test_tensor"] = {"source": "colour.npy"}

    stream = io.BytesIO()
    np.save(stream, image)
    files = {"colour.npy": stream.getvalue(), "weights.pt": script_of(_Colour())}
    network, card = load_weights(build(tmp_path / "p", changed=changed, files=files, expected=expected))
    rgb = image[0].transpose(1, 2, 0).astype(np.uint8)
    seen = normalise(rgb, find_constants(rgb, card.normalise))
    with torch.no_grad():
        found = torch.sigmoid(network(torch.from_numpy(seen[None].copy())))[0, 0] >= 0.5
    assert found[20, 20]
    assert not found[45, 45]

    described = put_at("inputs", 0, "preprocessing", [{"id": "scale_range", "kwargs": {"axes": ["y", "x"]}}])
    message = refused(
        build(tmp_path / "q", changed=lambda d: (changed(d), described(d)), files=files, expected=expected)
    )
    assert "scale_range of each channel by itself can't be expressed" in message


class _Single(nn.Module):
    """One output channel of several of Spots' kind, raw or as a probability."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.spots = Spots()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        both = self.spots(x)
        if self.kind == "logit":
            return torch.log(both[:, :1] / (1 - both[:, :1]))
        if self.kind == "three":
            inside = both[:, :1] * (1 - both[:, 1:])
            return torch.cat([1 - both[:, :1], inside, both[:, :1] - inside], dim=1)
        return both[:, :1]


def test_postprocessing_and_a_threshold_are_taken_over(tmp_path: Path) -> None:
    def changed(described: dict[str, Any]) -> None:
        output = described["outputs"][0]
        output["axes"][1]["channel_names"] = ["nuclei"]
        output["postprocessing"] = [{"id": "sigmoid"}, {"id": "binarize", "kwargs": {"threshold": 0.3}}]

    with torch.no_grad():
        expected = (_Single("raw")(torch.from_numpy(standardised(spots_image()))) > 0.3).float().numpy()
    _, card = load_weights(
        build(tmp_path / "p", network=_Single("logit"), changed=changed, expected=expected)
    )
    assert card.objects.foreground == 0.3
    assert card.outputs == ("foreground",)


def test_three_classes_become_foreground_and_interior(tmp_path: Path) -> None:
    def changed(described: dict[str, Any]) -> None:
        described["outputs"][0]["axes"][1]["channel_names"] = ["background", "nucleus_interior", "border"]

    network, card = load_weights(build(tmp_path / "p", network=_Single("three"), changed=changed))
    assert card.outputs == ("foreground", "interior")
    seen = torch.from_numpy(standardised(spots_image())).expand(-1, 3, -1, -1)
    with torch.no_grad():
        maps = torch.sigmoid(network(seen))
        both = Spots().eval()(seen[:, :1])
    assert torch.allclose(maps[:, 0], both[:, 0], atol=1e-5)
    assert torch.allclose(maps[:, 1], both[:, 0] * (1 - both[:, 1]), atol=1e-5)


def test_channels_without_telling_names_can_be_named_in_the_description(tmp_path: Path) -> None:
    def nameless(described: dict[str, Any]) -> None:
        described["outputs"][0]["axes"][1]["channel_names"] = ["channel0", "channel1"]

    def named(described: dict[str, Any]) -> None:
        nameless(described)
        described["config"] = {"nucbatch": {"outputs": ["foreground", "ignore"]}}

    assert "called channel0, channel1, which doesn't say what they are" in refused(
        build(tmp_path / "a", changed=nameless)
    )
    assert load_weights(build(tmp_path / "b", changed=named))[1].outputs == ("foreground",)


def test_descriptions_of_format_0_4_are_read(tmp_path: Path) -> None:
    def changed(described: dict[str, Any]) -> None:
        described.clear()
        described |= {
            "type": "model",
            "format_version": "0.4.10",
            "name": "old",
            "inputs": [
                {
                    "name": "raw",
                    "axes": "bcyx",
                    "shape": {"min": [1, 1, 32, 32], "step": [0, 0, 2, 2]},
                    "preprocessing": [
                        {"name": "zero_mean_unit_variance", "kwargs": {"mode": "per_sample", "axes": "cyx"}}
                    ],
                }
            ],
            "outputs": [{"name": "probability", "axes": "bcyx"}],
            "test_inputs": ["test_in.npy"],
            "test_outputs": ["test_out.npy"],
            "weights": {"torchscript": {"source": "weights.pt"}},
            "config": {"nucbatch": {"outputs": ["foreground", "boundary"]}},
        }

    network, card = load_weights(build(tmp_path / "p", changed=changed))
    assert (card.name, card.normalise.method, network.stride) == ("old", "standardise", 2)


def test_safetensors_of_an_installed_architecture_are_loaded(tmp_path: Path) -> None:
    config = {"in_channels": 1, "outputs": 1, "width": 2, "depth": 2}
    torch.manual_seed(0)
    network = build_network("unet", config).eval()
    state = save(network.state_dict())

    def changed(described: dict[str, Any]) -> None:
        output = described["outputs"][0]
        output["axes"][1]["channel_names"] = ["foreground"]
        output["postprocessing"] = [{"id": "sigmoid"}]
        architecture = {"callable": "unet", "import_from": "nucbatch.networks", "kwargs": config}
        described["weights"] = {
            "pytorch_state_dict": {
                "source": "w.safetensors",
                "architecture": architecture,
                "pytorch_version": "2",
            }
        }

    with torch.no_grad():
        expected = torch.sigmoid(network(torch.from_numpy(standardised(spots_image())))).numpy()
    path = build(tmp_path / "p", changed=changed, files={"w.safetensors": state}, expected=expected)
    found, _ = load_weights(path)
    assert (found.stride, found.receptive_radius_px) == (4, network.receptive_radius_px)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # bioimageio.spec uses deprecated names
def test_the_packages_of_these_tests_are_valid(tmp_path: Path) -> None:
    from bioimageio.spec import load_description

    found = load_description(build(tmp_path / "spots.zip"))
    assert found.validation_summary.status in ("passed", "valid-format")
    assert description()["format_version"] == "0.5.3"


def test_a_package_of_another_program_is_run_but_neither_trained_pruned_nor_exported(tmp_path: Path) -> None:
    path = build(tmp_path / "spots.zip")
    with pytest.raises(InputError, match="can be run but not trained further"):
        chosen_recipe(None, path, {})
    with pytest.raises(InputError, match="whose network can't be pruned"):
        prune(path, 1, tmp_path / "out.safetensors")
    with pytest.raises(InputError, match="is a package of another program already"):
        export_package(path, tmp_path / "out.zip")
    with pytest.raises(InputError, match="is a package, into which nothing is written"):
        CliRunner().invoke(models, ["check", str(path), str(tmp_path)], catch_exceptions=False)
    shown = CliRunner().invoke(models, ["show", str(path)], catch_exceptions=False)
    assert json.loads(shown.output)["measured"] == {"stride_px": 2, "receptive_radius_px": 4}


def test_a_package_computes_in_float32_alone(tmp_path: Path) -> None:
    network, _ = load_weights(build(tmp_path / "spots.zip"))
    with pytest.raises(PrecisionError, match="computes in float32, not in bfloat16: use --precision fp32"):
        network.to(torch.bfloat16)
