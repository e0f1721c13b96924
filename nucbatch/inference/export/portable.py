"""A network as other programs run it: normalised pixels in, probabilities out, in one module.

Batch normalisations are folded, a grey image is repeated for the three channels of the network, and the
sigmoid is part of the module. A program that loads an exported network therefore needs no code of nucbatch.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nucbatch.core.errors import InputError
from nucbatch.core.settings import NormaliseSettings
from nucbatch.inference.predict import folded, grid_of
from nucbatch.networks.checkpoint import CHANNELS
from nucbatch.networks.model_card import PACKAGE, Card

TOLERANCE = 1e-4
"""Largest difference of a probability between an exported network and the original, in float32."""

_MEASURED = ("foreground", "percentiles", "fixed")


class PortableNetwork(nn.Module):
    """Normalised images (N, C, H, W) float32 in [0, 1] → probabilities (N, outputs, H, W) float32.

    Args:
        network: a network of nucbatch.
        channels: C: 1 for grey images, 3 for RGB.
    """

    def __init__(self, network: nn.Module, channels: int) -> None:
        super().__init__()
        self.network = folded(network)
        self.channels = channels
        self.stride = int(network.stride)  # type: ignore[arg-type]  # torch's types know tensors and modules only
        self.halo_px = grid_of(network).halo
        self.requires_grad_(False).eval()

    @property
    def least_px(self) -> int:
        """Shortest side of a tile that has pixels beyond its halo."""
        return 2 * self.halo_px + self.stride

    def example(self, side_px: int) -> Tensor:
        """Random images (1, C, ``side_px``, ``side_px``) in [0, 1], the same at every call."""
        return torch.rand(1, self.channels, side_px, side_px, generator=torch.Generator().manual_seed(0))

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.network(x.expand(-1, CHANNELS, -1, -1)))


def require_portable(card: Card) -> None:
    """Checks that other programs can normalise images for a model.

    Raises:
        InputError: the normalisation needs code of nucbatch.
    """
    if card.architecture == PACKAGE:
        raise InputError(f"{card.name} is a package of another program already: it can't be exported.")
    method = card.normalise.method
    if method not in _MEASURED:
        raise InputError(
            f"{card.name} can't be exported: its normalisation {method!r} needs code of nucbatch. Models "
            f"with {', '.join(_MEASURED)} can."
        )


def require_equal(
    portable: PortableNetwork, run: Callable[[NDArray[np.float32]], NDArray[np.float32]], kind: str
) -> float:
    """Compares an exported network with the original, on an image of another size than it was made with.

    Returns:
        The largest difference of a probability.

    Raises:
        InputError: it does not run on that size, or differs by more than ``TOLERANCE``.
    """
    image = portable.example(3 * portable.stride if portable.stride > 32 else 96 + portable.stride)
    with torch.inference_mode():
        wanted = portable(image).numpy()
    try:
        found = run(image.numpy())
    except Exception as error:
        raise InputError(_fixed(kind, str(error).splitlines()[0][:200])) from error
    if found.shape != wanted.shape:
        raise InputError(_fixed(kind, f"{found.shape} instead of {wanted.shape}"))
    difference = float(np.abs(found - wanted).max())
    if not difference <= TOLERANCE:
        raise InputError(
            f"the network can't be exported as {kind}: its probabilities change by {difference:.2g}."
        )
    return difference


def _fixed(kind: str, reason: str) -> str:
    return (
        f"the network can't be exported as {kind}: the exported one does not run on images of other sizes "
        f"({reason})."
    )


def range_of(settings: NormaliseSettings) -> tuple[float, float] | None:
    """The grey levels that become 0 and 1 if they are fixed; None if they are measured in each image."""
    return None if settings.low is None or settings.high is None else (settings.low, settings.high)
