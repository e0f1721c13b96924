"""Weight files: safetensors with a card inside that says all that is needed to use them.

The decision owned here: a weight file is one safetensors file whose header holds the card as JSON. Nothing
that could run code is ever loaded: pickles are refused by their first bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from nucbatch.errors import InputError, WeightsError
from nucbatch.networks.contract import build
from nucbatch.settings import NormaliseSettings, ObjectSettings

_PICKLES = (b"\x80", b"PK\x03\x04")  # a pickle's protocol opcode; a zip archive, as torch.save writes
_CARD = "nucbatch"


class Card(BaseModel):
    """What a weight file says of itself.

    ``config`` are the architecture's keyword arguments. ``outputs`` names the maps in order.
    ``pixel_size_um`` and ``nucleus_diameter_px`` say what it was trained on, None where that is mixed.
    ``data_sets`` are the data sets it was trained on by name, each with its SHA-256.
    ``scores`` are on the split named in each key, such as ``"val pixel F1"``. ``sha256`` is over the tensors.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    architecture: str
    config: dict[str, int]
    outputs: tuple[str, ...] = ("foreground", "interior")
    normalise: NormaliseSettings = NormaliseSettings()
    objects: ObjectSettings = ObjectSettings()
    pixel_size_um: float | None = None
    nucleus_diameter_px: float | None = None
    data: str = ""
    data_sha256: str = ""
    data_sets: dict[str, str] = Field(default_factory=dict)
    training: dict[str, str | int | float] = Field(default_factory=dict)
    scores: dict[str, float] = Field(default_factory=dict)
    sha256: str = ""

    def zoom(self, diameter_px: float | None) -> float:
        """How many times as large the network should see an image of such nuclei; 1 where None is given.

        Raises:
            InputError: the card doesn't know the nuclei it was trained on.
        """
        if diameter_px is None:
            return 1.0
        if self.nucleus_diameter_px is None:
            raise InputError(
                f"model {self.name} doesn't say how large the nuclei were that it was trained on, so a "
                f"diameter of {diameter_px:g} px means nothing to it. Scale the images, or leave it out."
            )
        return self.nucleus_diameter_px / diameter_px


def save_weights(path: Path, network: nn.Module, card: Card, *, half: bool = True) -> Card:
    """Writes a network's tensors and card to ``path`` and returns the card with its hash.

    ``half`` stores float16, which halves the file; the network computes in float32 all the same.
    """
    tensors = {
        name: (tensor.half() if half and tensor.is_floating_point() else tensor).contiguous().cpu()
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    card = card.model_copy(update={"sha256": _digest(tensors)})
    payload = save(tensors, metadata={_CARD: card.model_dump_json()})
    temporary = path.with_name(path.name + ".partial")
    temporary.write_bytes(payload)
    temporary.replace(path)
    return card


def read_card(path: Path) -> Card:
    """The card inside a weight file; tensors are not read.

    Raises:
        WeightsError: no such file, a pickle, no safetensors file, or one without a card.
    """
    _refuse_pickle(path)
    try:
        with safe_open(path, framework="pt") as stored:
            metadata = stored.metadata() or {}
    except SafetensorError as error:
        raise WeightsError(
            f"{path} is no safetensors file ({error}). Use one made by nucbatch train."
        ) from error
    if _CARD not in metadata:
        raise WeightsError(f"{path} has no nucbatch card inside. Use a weight file made by nucbatch train.")
    try:
        return Card.model_validate(json.loads(metadata[_CARD]))
    except (ValidationError, json.JSONDecodeError) as error:
        raise WeightsError(f"the card inside {path} can't be read: {error}") from error


def load_weights(path: Path) -> tuple[nn.Module, Card]:
    """The network with its weights in float32, in evaluation mode, and its card.

    Raises:
        WeightsError: as :func:`read_card`; or the tensors don't fit the architecture, or are damaged.
    """
    card = read_card(path)
    with safe_open(path, framework="pt") as stored:
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (no iteration)
    if _digest(tensors) != card.sha256:
        raise WeightsError(f"the weights in {path} are not those its card was written for. Fetch it again.")
    _require_fitting(path, card, tensors)
    network = build(card.architecture, card.config)
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, strict=False)
    return network.eval(), card


def _require_fitting(path: Path, card: Card, tensors: Mapping[str, Tensor]) -> None:
    """Compares shapes without making the network: a card may promise one that no memory holds.

    Raises:
        WeightsError: the tensors are not that network's.
    """
    try:
        with torch.device("meta"):
            built = build(card.architecture, card.config).state_dict()
    except (RuntimeError, OverflowError, MemoryError) as error:
        raise WeightsError(f"{path} can't be used: no network is like {card.config} ({error}).") from error
    wanted = {name: tuple(tensor.shape) for name, tensor in built.items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    missing = [name for name in wanted if name not in found and not name.endswith("num_batches_tracked")]
    extra = [name for name in found if name not in wanted]
    if missing or extra:
        raise WeightsError(f"{path} does not fit {card.architecture}: missing {missing}, extra {extra}.")
    other = next((name for name, shape in found.items() if shape != wanted[name]), "")
    if other:
        raise WeightsError(
            f"{path} does not fit {card.architecture} of {card.config}: {other} has shape {found[other]}, "
            f"not {wanted[other]}. Fetch it again."
        )


@cache
def shipped() -> dict[str, Path]:
    """Weight files inside the package by name."""
    folder = Path(str(files("nucbatch.networks"))) / "weights"
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def locate(model: str) -> Path:
    """The weight file of a shipped model's name, or of a path.

    Raises:
        WeightsError: neither a shipped name nor a file.
    """
    if model in shipped():
        return shipped()[model]
    path = Path(model)
    if path.is_file():
        return path
    names = ", ".join(shipped()) or "none"
    raise WeightsError(f"model {model!r} is neither a shipped model ({names}) nor a weight file's path.")


def _refuse_pickle(path: Path) -> None:
    try:
        with path.open("rb") as stream:
            begin = stream.read(16)
    except OSError as error:
        raise WeightsError(f"weight file {path} can't be read: {error.strerror}.") from error
    if begin.startswith(_PICKLES):
        raise WeightsError(
            f"{path} is a pickle, which can run code when loaded; nucbatch loads safetensors only. "
            "Convert it where you trust it, or train with nucbatch train."
        )


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())  # in C order, whatever the strides
    return digest.hexdigest()
