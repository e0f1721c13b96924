"""Weight files: safetensors that contain a card with everything that is needed to use them, and packages.

The header of the file holds the card as strict JSON (no NaN, no infinity). Nothing that could run code is
loaded: a file with another layout is refused before it is parsed, and the values of a card are checked
against limits before a network is made.
"""

from __future__ import annotations

import copy
import hashlib
import json
import pickletools
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from nucbatch.core.errors import InputError, WeightsError
from nucbatch.networks.contract import build
from nucbatch.networks.model_card import Card, parse_card
from nucbatch.networks.packages.archive import is_package
from nucbatch.networks.packages.load import read_package

_CARD = "nucbatch"
CHANNELS = 3
"""Number of input channels of a network: red, green and blue, or grey three times."""
_ZIP = b"PK\x03\x04"
_PICKLE = re.compile(rb"\x80[\x02-\x05]")  # protocols 2 to 5 say so; 0 and 1 have no beginning of their own
_LARGEST_TEXT_PICKLE = 1_000_000


def save_weights(path: Path, network: nn.Module, card: Card, *, half: bool = True) -> Card:
    """Writes a network's tensors and card to ``path`` and returns the card with its hash.

    ``half`` stores float16, which halves the file; the network computes in float32 all the same. Tensors with
    values beyond the range of float16 stay float32.

    Raises:
        WeightsError: the card could not be read again; nothing is written.
        StoreError: the file can't be written; an existing file is left unchanged.
    """
    tensors = {
        name: (_halved(tensor) if half else tensor).contiguous().cpu()
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    card = card.model_copy(update={"sha256": _digest(tensors)})
    _write(path, tensors, card)
    return card


def save_with_card(path: Path, out: Path, card: Card) -> None:
    """Writes the tensors of a weight file, unchanged, with another card of the same weights.

    ``out`` may be ``path``.

    Raises:
        WeightsError: as :func:`read_card`, or the card could not be read again; nothing is written.
    """
    with safe_open(path, framework="pt") as stored:
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (no iteration)
    _write(out, tensors, card)


def _write(path: Path, tensors: dict[str, Tensor], card: Card) -> None:
    # Without what they don't know, earlier versions can read the card.
    new = {name for name in ("kinds", "calibration") if not getattr(card, name)}
    text = json.dumps(card.model_dump(mode="json", exclude=new))
    parse_card(path, text)  # refuses to write what could not be read again
    with path.with_name(path.name + ".partial").open("wb") as stream:
        stream.write(save(tensors, metadata={_CARD: text}))
    path.with_name(path.name + ".partial").replace(path)


def as_stored(network: nn.Module) -> nn.Module:
    """A copy of a network that computes as its weight file does: values rounded to float16, in float32."""
    copied = copy.deepcopy(network)
    copied.load_state_dict(
        {
            name: _halved(tensor).float() if tensor.is_floating_point() else tensor
            for name, tensor in network.state_dict().items()
        }
    )
    return copied


def _halved(tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    half = tensor.half()
    return half if bool((half.isfinite() | ~tensor.isfinite()).all()) else tensor


def read_card(path: Path) -> Card:
    """The card inside a weight file, whose tensors are not read, or of a package of bioimage.io.

    Raises:
        WeightsError: there is no such file, or it is a pickle, not a safetensors file, or has no card; or the
            package can't be used.
    """
    if is_package(path):
        return read_package(path, load_weights)[1]
    _require_safetensors(path)
    try:
        with safe_open(path, framework="pt") as stored:
            metadata = stored.metadata() or {}
    except SafetensorError as error:
        raise WeightsError(
            f"{path} is not a safetensors file ({error}). Use one made by nucbatch train."
        ) from error
    if _CARD not in metadata:
        raise WeightsError(f"{path} has no nucbatch card inside. Use a weight file made by nucbatch train.")
    return parse_card(path, metadata[_CARD])


def load_weights(path: Path) -> tuple[nn.Module, Card]:
    """The network with its weights in float32, in evaluation mode, and its card.

    Raises:
        WeightsError: as :func:`read_card`; or the tensors don't fit the architecture, or are damaged.
    """
    if is_package(path):
        return read_package(path, load_weights)
    card = read_card(path)
    with safe_open(path, framework="pt") as stored:
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (no iteration)
    if _digest(tensors) != card.sha256:
        raise WeightsError(f"the weights in {path} don't match the hash in its card. Download it again.")
    _require_fitting(path, card, tensors)
    network = build(card.architecture, card.config)
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, strict=False)
    return network.eval(), card


def _require_fitting(path: Path, card: Card, tensors: Mapping[str, Tensor]) -> None:
    """Checks the tensors' shapes without making the network.

    A card may describe a network that exceeds the memory.
    """
    try:
        with torch.device("meta"):
            network = build(card.architecture, card.config)
            built = network.state_dict()
    except InputError as error:
        raise WeightsError(f"{path} can't be used: {error}") from error
    except (RuntimeError, OverflowError, MemoryError) as error:
        raise WeightsError(
            f"{path} can't be used: no network can be made from {card.config} ({error})."
        ) from error
    if network.in_channels != CHANNELS:
        raise WeightsError(
            f"{path} is a network of {network.in_channels} input channels: images are given in {CHANNELS}."
        )
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
            f"not {wanted[other]}. Download it again."
        )


def _require_safetensors(path: Path) -> None:
    """Checks that a file has the layout of safetensors, and says what it is otherwise.

    Eight bytes hold the length of a JSON header, which begins right after them and ends within the file
    (https://github.com/huggingface/safetensors#format). The first byte alone is no evidence: it is the low
    byte of that length, which can have any value.

    Raises:
        WeightsError: it can't be read, or is something else.
    """
    try:
        with path.open("rb") as stream:
            begin = stream.read(_LARGEST_TEXT_PICKLE)
            size = stream.seek(0, 2)
    except OSError as error:
        raise WeightsError(f"weight file {path} can't be read: {error.strerror}.") from error
    if begin[8:9] == b"{" and 8 + int.from_bytes(begin[:8], "little") <= size:
        return
    kind = ""
    if begin.startswith(_ZIP):
        kind = "a zip archive as torch.save writes it"
    elif _PICKLE.match(begin) or (size == len(begin) and _is_text_pickle(begin)):
        kind = "a pickle"
    if kind:
        raise WeightsError(
            f"{path} is {kind}, which can run code when loaded; nucbatch loads safetensors only. "
            "Convert it where you trust it, or train with nucbatch train."
        )
    cut = begin[8:9] == b"{"
    raise WeightsError(
        f"{path} is not a safetensors file{' or was cut short' if cut else ''}. Use one made by nucbatch "
        "train."
    )


def _is_text_pickle(content: bytes) -> bool:
    """Whether it is a complete pickle of any protocol, by its opcodes; nothing is executed."""
    try:
        *_, last = pickletools.genops(content)
    except (ValueError, IndexError):
        return False
    return last[2] == len(content) - 1


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())  # in C order, whatever the strides
    return digest.hexdigest()
