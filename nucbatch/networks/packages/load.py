"""Makes a network and a card of a package of bioimage.io.

A package that nucbatch made is used by nucbatch's own weight file in it. Of others, TorchScript weights are
used, or safetensors weights of an architecture that is installed under ``nucbatch.networks``. Before a
network is used, it must reproduce the package's own test images.
"""

from __future__ import annotations

import hashlib
import io
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from nucbatch.core.errors import InputError, WeightsError
from nucbatch.core.settings import NormaliseSettings, ObjectSettings
from nucbatch.networks.contract import architectures, build
from nucbatch.networks.model_card import PACKAGE, Card
from nucbatch.networks.packages.archive import OWN_WEIGHTS, PackageFiles
from nucbatch.networks.packages.description import Description, Step, StoredFile, Weights, parse_description
from nucbatch.networks.packages.description import Tensor as TensorDescription
from nucbatch.networks.packages.foreign_network import ForeignNetwork
from nucbatch.networks.packages.processing import Pointwise, applied, postprocessing, preprocessing
from nucbatch.networks.packages.reach import measure, one_thread
from nucbatch.networks.packages.roles import roles_of
from nucbatch.networks.packages.torchscript import load_script

_LARGEST_TEST = 2**30  # bytes of a test image
_TOLERANCE = 1e-2
"""Largest difference of a probability between a package's test output and ours."""
_measured: dict[str, tuple[int, int, int]] = {}
"""Stride, receptive radius and width of the networks that were measured, by their card's hash."""

LoadFile = Callable[[Path], tuple[nn.Module, Card]]


def read_package(path: Path, load_file: LoadFile) -> tuple[nn.Module, Card]:
    """Returns a package's network in evaluation mode, and its card.

    Args:
        path: a zip file or a folder.
        load_file: loads nucbatch's own weight files.

    Raises:
        WeightsError: it can't be used; the message says why.
    """
    files = PackageFiles(path)
    content = files.description()
    described = parse_description(path, content)
    try:
        if described.own_weights is not None:
            return _own(files, described.own_weights, load_file)
        with one_thread():
            return _foreign(files, described, content)
    except (WeightsError, InputError) as error:
        raise WeightsError(f"the model {path} can't be used: {error}") from error


def _own(files: PackageFiles, weights: StoredFile, load_file: LoadFile) -> tuple[nn.Module, Card]:
    content = files.read(weights.source, weights.sha256)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / OWN_WEIGHTS
        copy.write_bytes(content)
        return load_file(copy)


def _foreign(files: PackageFiles, described: Description, content: bytes) -> tuple[nn.Module, Card]:
    image = _only_input(described)
    test = _test_tensor(files, image)
    channels = _channels(image, test)
    normalise, before = preprocessing(image.processing, channels)
    after, thresholds = _after(described)
    expected = [_test_tensor(files, output) for output in described.outputs]
    roles = _roles(described, expected)
    kind, weights = _chosen(described.weights)
    digest = hashlib.sha256(content)
    stored = files.read(weights.source, weights.sha256)
    digest.update(stored)
    model = (
        _architecture(weights, stored)
        if kind == "pytorch_state_dict"
        else load_script(weights.source, stored)
    )
    network = ForeignNetwork(model, channels, before, after, roles).eval()
    _require_reproduced(network, normalise, test, list(zip(described.outputs, expected, strict=True)))
    sha256 = digest.hexdigest()
    if sha256 not in _measured:
        stride, radius = measure(network, image.steps_px)
        _measured[sha256] = stride, radius, _width(network, stride)
    network.stride, network.receptive_radius_px, width = _measured[sha256]
    threshold = next((value for value in thresholds if value is not None), None)
    objects = ObjectSettings() if threshold is None else ObjectSettings(foreground=threshold)
    card = Card(
        name=described.name[:200],
        architecture=PACKAGE,
        config={"width": width},
        outputs=network.outputs,
        normalise=normalise,
        objects=objects,
        sha256=sha256,
    )
    return network, card


def _only_input(described: Description) -> TensorDescription:
    if len(described.inputs) != 1 or not described.outputs:
        raise WeightsError(f"it has {len(described.inputs)} inputs: models of one image are supported.")
    for tensor in (*described.inputs, *described.outputs):
        other = [axis for axis in tensor.axes if axis not in ("batch", "channel", "y", "x")]
        if other or [axis for axis in tensor.axes if axis in "yx"] != ["y", "x"]:
            raise WeightsError(
                f"{tensor.id} has axes {', '.join(tensor.axes)}: flat images with batch, channel, y, x are "
                "supported."
            )
    if described.inputs[0].axes != ("batch", "channel", "y", "x"):
        raise WeightsError(
            f"its input has axes {', '.join(described.inputs[0].axes)}: batch, channel, y, x are needed."
        )
    return described.inputs[0]


def _channels(image: TensorDescription, test: NDArray[np.float32]) -> int:
    if test.ndim != 4 or test.shape[1] not in (1, 3):
        raise WeightsError(
            f"its input {image.id} has shape {test.shape}: one channel (grey) or three (RGB) are supported."
        )
    return int(test.shape[1])


def _after(described: Description) -> tuple[list[tuple[Pointwise, ...]], list[float | None]]:
    both = [postprocessing(output.processing) for output in described.outputs]
    thresholds = [threshold for _, threshold in both]
    if any(value is not None and not 0 < value < 1 for value in thresholds):
        raise WeightsError(f"binarize at {thresholds} can't be expressed: a probability is needed.")
    if len(both) > 1 and any(value is not None for value in thresholds):
        raise WeightsError("binarize can be expressed for a single output only.")
    return [steps for steps, _ in both], thresholds


def _roles(described: Description, expected: list[NDArray[np.float32]]) -> tuple[str, ...]:
    names: list[str] = []
    for output, array in zip(described.outputs, expected, strict=True):
        count = array.shape[output.axes.index("channel")] if "channel" in output.axes else 1
        if count > 32:
            raise WeightsError(
                f"output {output.id} has {count} channels, as star-convex distances or embeddings have; "
                "maps of foreground and boundary, interior or distance are supported."
            )
        own = list(output.channels) if len(output.channels) == count else []
        names += own or ([output.id] if count == 1 else [f"channel{at}" for at in range(count)])
    return roles_of(names, described.outputs[0].id, described.roles)


def _chosen(weights: dict[str, Weights]) -> tuple[str, Weights]:
    """The weights that can be loaded without running code of the package."""
    state = weights.get("pytorch_state_dict")
    if state is not None and state.source.endswith(".safetensors") and _installed(state) is not None:
        return "pytorch_state_dict", state
    if "torchscript" in weights:
        return "torchscript", weights["torchscript"]
    if state is not None and state.source.endswith(".safetensors"):
        raise WeightsError(
            "the architecture of its safetensors weights is Python code, which nucbatch doesn't run: it must "
            f"be one of {', '.join(architectures())} (installed under nucbatch.networks), or the weights "
            "TorchScript."
        )
    if state is not None:
        raise WeightsError(
            f"its weights {state.source} are a pickle, which can run code when it is loaded: TorchScript or "
            "safetensors weights are supported. Where you trust the package, convert them by bioimageio.core."
        )
    raise WeightsError(
        f"it has weights in {', '.join(weights) or 'no format'}: torchscript or pytorch_state_dict "
        "(safetensors) is needed."
    )


def _installed(weights: Weights) -> tuple[str, dict[str, Any]] | None:
    """Name and arguments of an installed architecture that a description means; None if it means another."""
    architecture = weights.architecture
    if not isinstance(architecture, dict) or "source" in architecture:
        return None
    name = str(architecture.get("callable"))
    return (name, dict(architecture.get("kwargs") or {})) if name in architectures() else None


def _architecture(weights: Weights, content: bytes) -> nn.Module:
    """The network of safetensors weights, after the tensors' sizes were compared."""
    installed = _installed(weights)
    if installed is None:
        raise AssertionError("weights of other architectures are not chosen")
    name, config = installed
    if not all(isinstance(value, int) and 0 <= value <= 65_536 for value in config.values()):
        raise WeightsError(f"arguments {config} of {name} must be whole numbers up to 65536.")
    try:
        tensors = load_safetensors(content)
        with torch.device("meta"):
            wanted = {key: tuple(value.shape) for key, value in build(name, config).state_dict().items()}
    except (SafetensorError, RuntimeError, OverflowError, MemoryError) as error:
        raise WeightsError(f"{weights.source} can't be loaded for {name}: {error}.") from error
    found = {key: tuple(value.shape) for key, value in tensors.items()}
    differing = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
    differing = [key for key in differing if not key.endswith("num_batches_tracked")]
    if differing:
        raise WeightsError(f"{weights.source} does not fit {name} of {config}: {', '.join(differing[:5])}.")
    network = build(name, config)
    network.load_state_dict({key: value.float() for key, value in tensors.items()}, strict=False)
    return network.eval()


def _test_tensor(files: PackageFiles, tensor: TensorDescription) -> NDArray[np.float32]:
    """A tensor's example, after its declared size was compared with the file's."""
    content = files.read(tensor.test.source, tensor.test.sha256, most=_LARGEST_TEST)
    stream = io.BytesIO(content)
    try:
        read = npy.read_array_header_1_0 if npy.read_magic(stream) == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(stream)
        if dtype.hasobject or dtype.kind not in "biuf":
            raise ValueError(f"it holds {dtype}, not numbers")
        if int(np.prod(shape, dtype=object)) * dtype.itemsize != len(content) - stream.tell():
            raise ValueError(f"it has not the bytes of its shape {shape}")
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise WeightsError(f"the test image {tensor.test.source} can't be read: {error}.") from error
    if array.ndim != len(tensor.axes) or 0 in array.shape or not np.isfinite(array).all():
        raise WeightsError(
            f"the test image {tensor.test.source} has shape {array.shape}: axes {', '.join(tensor.axes)} are "
            "described, and finite numbers are needed."
        )
    return np.asarray(array, np.float32)


def _require_reproduced(
    network: ForeignNetwork,
    normalise: NormaliseSettings,
    test: NDArray[np.float32],
    outputs: list[tuple[TensorDescription, NDArray[np.float32]]],
) -> None:
    """Checks that the package's test outputs come out, and that they are probabilities."""
    try:
        with torch.inference_mode():
            found = network.predicted(torch.from_numpy(applied(test, normalise)))
    except (RuntimeError, TypeError) as error:
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise WeightsError(f"the network fails on its own test image: {lines[-1][:300]}") from error
    for (output, expected), tensor in zip(outputs, found, strict=True):
        wanted = expected.reshape(tensor.shape) if expected.size == tensor.numel() else expected
        got = tensor.numpy()
        if wanted.shape != got.shape:
            raise WeightsError(
                f"its test output {output.id} has shape {expected.shape}, the network {got.shape}."
            )
        if got.min() < -_TOLERANCE or got.max() > 1 + _TOLERANCE:
            raise WeightsError(
                f"its output {output.id} has values from {got.min():.3g} to {got.max():.3g}, which are no "
                "probabilities: 0 to 1 is supported. If these are logits, add sigmoid to its post-processing."
            )
        got = _binarised(output.processing, got)
        difference = float(np.quantile(np.abs(got - wanted), 0.999))
        if not difference <= _TOLERANCE:
            raise WeightsError(
                f"its test output {output.id} is not reproduced: it differs by {difference:.2g}. Description "
                "and weights don't belong together, or a step is not as described."
            )


def _binarised(steps: tuple[Step, ...], found: NDArray[np.float32]) -> NDArray[np.float32]:
    _, threshold = postprocessing(steps)
    return found if threshold is None else (found > threshold).astype(np.float32)


class _LargestTensor(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types here
    """Notes the most numbers of any tensor that is computed."""

    numbers: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if isinstance(found, Tensor):
            self.numbers = max(self.numbers, found.numel())
        return found


def _width(network: nn.Module, stride: int) -> int:
    """Half the channels of the largest layer at full resolution, as a U-Net's width is."""
    side = max(4, 128 // stride) * stride
    largest = _LargestTensor()  # type: ignore[no-untyped-call]  # so in torch
    with largest, torch.no_grad():
        network(torch.zeros(1, 3, side, side))
    return max(1, math.ceil(largest.numbers / (2 * side * side)))
