"""Builds packages of bioimage.io as other programs write them, around a network that finds bright spots."""

from __future__ import annotations

import hashlib
import io
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

from nucbatch.core.errors import WeightsError
from nucbatch.networks.checkpoint import load_weights


class Spots(nn.Module):
    """Standardised images (N, 1, H, W) → probabilities (N, 2, H, W) of foreground and boundary.

    One level of a U-Net with weights set by hand: smoothed grey levels above 0.5 are foreground.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Conv2d(1, 2, 3, padding=1)
        self.coarse = nn.Conv2d(2, 2, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.head = nn.Conv2d(4, 2, 1)
        with torch.no_grad():
            for layer in (self.fine, self.coarse):
                layer.weight.fill_(1 / 9)
                layer.bias.zero_()
            self.head.weight[:] = torch.tensor([[3.0, 3, 0.2, 0.2], [-0.5, -0.5, 0.5, 0.5]])[..., None, None]
            self.head.bias[:] = torch.tensor([-4.0, -2])

    def forward(self, x: Tensor) -> Tensor:
        fine = torch.relu(self.fine(x))
        coarse = self.up(torch.relu(self.coarse(self.pool(fine))))
        return torch.sigmoid(self.head(torch.cat([fine, coarse], 1)))


STANDARDISE = {"id": "zero_mean_unit_variance", "kwargs": {"axes": ["channel", "y", "x"]}}


def script_of(network: nn.Module) -> bytes:
    """The network as TorchScript, compiled from its source."""
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(network.eval()), stream)
    return stream.getvalue()


def description(size: object = None) -> dict[str, Any]:
    """An rdf.yaml of format 0.5 for :class:`Spots`; hashes and test tensors are added by :func:`build`."""
    size = {"min": 32, "step": 2} if size is None else size
    space = [{"type": "space", "id": axis, "size": size} for axis in "yx"]
    seen = [
        {"type": "space", "id": axis, "size": {"tensor_id": "raw", "axis_id": axis}, "halo": 4}
        for axis in "yx"
    ]
    return {
        "type": "model",
        "format_version": "0.5.3",
        "name": "spots",
        "description": "bright spots",
        "authors": [{"name": "someone"}],
        "inputs": [
            {
                "id": "raw",
                "axes": [{"type": "batch"}, {"type": "channel", "channel_names": ["raw"]}, *space],
                "preprocessing": [STANDARDISE],
                "test_tensor": {"source": "test_in.npy"},
            }
        ],
        "outputs": [
            {
                "id": "probability",
                "axes": [
                    {"type": "batch"},
                    {"type": "channel", "channel_names": ["foreground", "boundary"]},
                    *seen,
                ],
                "test_tensor": {"source": "test_out.npy"},
            }
        ],
        "weights": {"torchscript": {"source": "weights.pt", "pytorch_version": "2.11.0"}},
    }


def standardised(image: np.ndarray) -> np.ndarray:
    return ((image - image.mean()) / image.std()).astype(np.float32)


def spots_image() -> np.ndarray:
    """Spots on a dark ground (1, 1, 64, 64) float32."""
    image = np.random.default_rng(0).normal(100, 3, (1, 1, 64, 64))
    for y, x in ((12, 12), (12, 40), (44, 24)):
        image[..., y : y + 9, x : x + 9] += 400
    return image.astype(np.float32)


def build(
    path: Path,
    *,
    network: nn.Module | None = None,
    normalise: Callable[[np.ndarray], np.ndarray] = standardised,
    changed: Callable[[dict[str, Any]], object] = lambda described: None,
    files: dict[str, bytes] | None = None,
    expected: np.ndarray | None = None,
) -> Path:
    """Writes a package, a zip file or (without the ending .zip) a folder.

    Args:
        path: of the package.
        network: the model; Spots if None.
        normalise: pre-processing of the test image, as the description says.
        changed: changes the description before it is written.
        files: further or other files.
        expected: the test output, instead of that of the network.
    """
    network = (network or Spots()).eval()
    image = spots_image()
    with torch.no_grad():
        out = network(torch.from_numpy(normalise(image))).numpy() if expected is None else expected
    contents = {"weights.pt": script_of(network), "test_in.npy": _npy(image), "test_out.npy": _npy(out)}
    contents |= files or {}
    described = description()
    for part in (described["inputs"][0], described["outputs"][0]):
        part["test_tensor"]["sha256"] = _sha256(contents[part["test_tensor"]["source"]])
    described["weights"]["torchscript"]["sha256"] = _sha256(contents["weights.pt"])
    changed(described)
    contents["rdf.yaml"] = yaml.safe_dump(described, sort_keys=False).encode()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
            for name, content in contents.items():
                package.writestr(name, content)
    else:
        path.mkdir()
        for name, content in contents.items():
            (path / name).write_bytes(content)
    return path


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def put_at(*place: Any) -> Any:
    """A change of the description: the last value is put at the place named by the others."""

    def changed(described: Any) -> None:
        *keys, last, value = place
        for key in keys:
            described = described[key]
        described[last] = value

    return changed


def refused(path: Path) -> str:
    """Returns why a package is refused."""
    with pytest.raises(WeightsError) as caught:
        load_weights(path)
    return str(caught.value)
