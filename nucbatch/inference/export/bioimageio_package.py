"""Exports a model as a package of bioimage.io: one zip file with description, weights and test images.

https://bioimage-io.github.io/spec-bioimage-io describes the format (0.5). The weights are TorchScript;
nucbatch's own weight file is attached, and is what nucbatch uses when it reads the package again. The
description contains the normalisation as far as the format can express it: fixed levels and percentiles.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from nucbatch.core.errors import InputError
from nucbatch.inference.export.portable import PortableNetwork, range_of, require_portable
from nucbatch.inference.export.torchscript import exported
from nucbatch.networks.checkpoint import load_weights
from nucbatch.networks.model_card import Card
from nucbatch.networks.packages.archive import OWN_WEIGHTS
from nucbatch.synthetic.field import make_field
from nucbatch.version import __version__

_CHANNELS = {1: ["grey"], 3: ["red", "green", "blue"]}
_TEST_PX = 128
"""Least side of the test image."""


def export_package(weights: Path, path: Path, channels: int = 1) -> None:
    """Writes a model as a package of bioimage.io.

    Args:
        weights: the model's weight file.
        path: the package, a zip file.
        channels: 1 for grey images, 3 for RGB.

    Raises:
        InputError: ``path`` exists, or the model can't be exported.
        WeightsError: ``weights`` is not a usable weight file.
    """
    if path.exists():
        raise InputError(f"{path} exists: name another file, so that it is not overwritten.")
    network, card = load_weights(weights)
    require_portable(card)
    portable = PortableNetwork(network, channels)
    image, maps = _test_tensors(portable, card)
    contents = {
        OWN_WEIGHTS: weights.read_bytes(),
        "weights.pt": exported(portable),
        "test_image.npy": _npy(image),
        "test_maps.npy": _npy(maps),
        "README.md": _documentation(card, portable).encode(),
    }
    described = _description(card, portable, contents)
    contents["rdf.yaml"] = yaml.safe_dump(described, sort_keys=False, allow_unicode=True).encode()
    partial = path.with_name(path.name + ".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in contents.items():
            package.writestr(name, content)
    partial.replace(path)


def _test_tensors(portable: PortableNetwork, card: Card) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A synthetic image (1, C, Y, X) in its own grey levels, and its maps (1, outputs, Y, X)."""
    side = portable.least_px
    while side < _TEST_PX:
        side += portable.stride
    grey, _ = make_field(side, np.random.default_rng(1), nuclei=side * side // 3000, channels=1)
    image = np.repeat(grey[None].astype(np.float32), portable.channels, axis=1)
    with torch.inference_mode():
        return image, portable(torch.from_numpy(_normalised(image, card))).numpy()


def _normalised(image: NDArray[np.float32], card: Card) -> NDArray[np.float32]:
    """Normalises an image as the description says, in the arithmetic of its specification."""
    given = range_of(card.normalise)
    low, high = given or np.percentile(image, (card.normalise.low_percent, card.normalise.high_percent))
    return np.clip((image - low) / (high - low), 0, 1).astype(np.float32)


def _preprocessing(card: Card) -> list[dict[str, Any]]:
    given = range_of(card.normalise)
    if given is not None:
        low, high = given
        scaled = {"gain": 1 / (high - low), "offset": -low / (high - low)}
        first = {"id": "scale_linear", "kwargs": scaled}
    else:
        percent = card.normalise.low_percent, card.normalise.high_percent
        limits = {"min_percentile": percent[0], "max_percentile": percent[1], "eps": 1e-6}
        first = {"id": "scale_range", "kwargs": {"axes": ["channel", "y", "x"], **limits}}
    return [
        {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}},
        first,
        {"id": "clip", "kwargs": {"min": 0.0, "max": 1.0}},
        {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}},
    ]


def _description(card: Card, portable: PortableNetwork, contents: dict[str, bytes]) -> dict[str, Any]:
    """The package's rdf.yaml."""
    pixel = {} if card.pixel_size_um is None else {"unit": "micrometer", "scale": card.pixel_size_um}
    size = {"min": portable.least_px, "step": portable.stride}
    weights = {"pytorch_version": torch.__version__.partition("+")[0]}
    return {
        "type": "model",
        "format_version": "0.5.0",
        "name": f"nucbatch {card.name}"[:128],
        "description": f"Finds cell nuclei: {', '.join(card.outputs)} ({card.architecture}).",
        "authors": [{"name": "nucbatch"}],
        "cite": [],
        "tags": ["nuclei", "segmentation", "2d", "unet", "pytorch"],
        "documentation": "README.md",
        "attachments": [_file(OWN_WEIGHTS, contents)],
        "config": {"nucbatch": {"version": __version__, "weights": OWN_WEIGHTS, "card": card.sha256}},
        "inputs": [
            {
                "id": "image",
                "description": "grey levels as the microscope gave them",
                "axes": [
                    {"type": "batch"},
                    {"type": "channel", "channel_names": _CHANNELS[portable.channels]},
                    *({"type": "space", "id": axis, "size": size, **pixel} for axis in "yx"),
                ],
                "data": {"type": "float32"},
                "test_tensor": _file("test_image.npy", contents),
                "preprocessing": _preprocessing(card),
            }
        ],
        "outputs": [
            {
                "id": "maps",
                "description": "probabilities; offsets to the nucleus' centre are 0.5 + pixels / 64",
                "axes": [
                    {"type": "batch"},
                    {"type": "channel", "channel_names": list(card.outputs)},
                    *(
                        {
                            "type": "space",
                            "id": axis,
                            "size": {"tensor_id": "image", "axis_id": axis},
                            "halo": portable.halo_px,
                            **pixel,
                        }
                        for axis in "yx"
                    ),
                ],
                "data": {"type": "float32", "range": [0.0, 1.0]},
                "test_tensor": _file("test_maps.npy", contents),
            }
        ],
        "weights": {"torchscript": {**_file("weights.pt", contents), **weights}},
    }


def _documentation(card: Card, portable: PortableNetwork) -> str:
    text = files("nucbatch.inference.export").joinpath("package.md").read_text(encoding="utf-8")
    return text.format(
        name=card.name,
        version=__version__,
        outputs=", ".join(card.outputs),
        diameter="unknown" if card.nucleus_diameter_px is None else f"{card.nucleus_diameter_px:g} px",
        halo=portable.halo_px,
        stride=portable.stride,
        foreground=card.objects.foreground,
        scores="\n".join(f"- {key}: {value:.3f}" for key, value in card.scores.items()) or "None recorded.",
        data=card.data or "not recorded",
    )


def _file(name: str, contents: dict[str, bytes]) -> dict[str, str]:
    return {"source": name, "sha256": hashlib.sha256(contents[name]).hexdigest()}


def _npy(array: NDArray[np.float32]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(array), allow_pickle=False)
    return stream.getvalue()
