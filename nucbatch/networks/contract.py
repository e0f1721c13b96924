"""The interface of a network architecture, and how architectures are found by name.

To add an architecture, write one file with such a class, and add one line under ``nucbatch.networks`` in the
entry points, or under ``nucbatch.methods`` if it has nothing to learn. A weight file's card records the
class's keyword arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from nucbatch.core.errors import InputError
from nucbatch.core.extensions import registered


@runtime_checkable
class Network(Protocol):
    """A fully convolutional network: (N, C, H, W) float32 → logits (N, outputs, H, W) float32.

    In training mode it may return (heads, N, outputs, H, W) instead: the loss is the mean over heads (deep
    supervision). A class attribute ``recipe`` may hold settings of :class:`nucbatch.training.recipe.Recipe`
    in which its training differs from the default. A property ``memory_width`` corrects the projection of
    memory (:func:`memory_width`).
    """

    in_channels: int

    @property
    def stride(self) -> int: ...

    @property
    def receptive_radius_px(self) -> int: ...

    def forward(self, x: Tensor) -> Tensor: ...


_GROUPS = ("nucbatch.networks", "nucbatch.methods")


def architectures() -> list[str]:
    """Names of all installed architectures that can be trained."""
    return sorted(point.name for point in registered("nucbatch.networks"))


def architecture(name: str) -> Callable[..., nn.Module]:
    """The class of an installed architecture.

    Raises:
        InputError: there is no such architecture.
    """
    points = {point.name: point for point in registered(*_GROUPS)}
    if name not in points:
        raise InputError(f"architecture {name!r} is not installed: installed are {', '.join(points)}.")
    found: Callable[..., nn.Module] = points[name].load()
    return found


def build(name: str, config: dict[str, int]) -> nn.Module:
    """A network with random weights.

    Raises:
        InputError: there is no such architecture, it does not take such a parameter, or it lacks a member of
            :class:`Network`.
    """
    make = architecture(name)
    try:
        network = make(**config)
    except TypeError as error:
        raise InputError(f"architecture {name!r} does not take {config}: {error}.") from error
    if not (isinstance(network, nn.Module) and isinstance(network, Network)):
        raise InputError(
            f"architecture {name!r} is not a network: it must be a torch module with "
            "in_channels, stride and receptive_radius_px."
        )
    return network


def memory_width(network: nn.Module, config: dict[str, int]) -> int:
    """The width of a U-Net whose maps need as much memory in a forward pass as this network's.

    A network whose maps need more or less than those of a U-Net of its own ``width`` has a property of this
    name.
    """
    own = getattr(network, "memory_width", None)
    return int(config.get("width", 64) if own is None else own)


def count_parameters(network: nn.Module) -> tuple[int, int]:
    """Numbers of (all, trainable) values of a network; *all* includes running means and variances."""
    trainable = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    every = sum(
        tensor.numel()
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    )
    return every, trainable
