"""Sharp dense U-Net: dense blocks and transition layers, and skips that are sharpened.

Sources: the sharpened skips are those of Zunair and Ben Hamza, "Sharp U-Net: Depthwise Convolutional
Network for Biomedical Image Segmentation", Computers in Biology and Medicine 136, 2021 (a fixed 3×3 kernel,
8 in the middle and -1 around it, on each map alone, without weights); dense blocks and transition layers
(1×1 convolution, then 2×2 average pooling) are those of DenseNet (Huang et al., CVPR 2017). On the way up
the nearest pixel is repeated and convolved.

Chosen here: the kernel's middle is 9, so that flat areas keep their level; a block has four convolutions,
each of a quarter of the level's width; a transition halves the sides, not the number of maps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate

from nucbatch.networks.unet import require_limits, require_multiple

_LAYERS = 4
"""Convolutions in a dense block."""


class SharpDenseUNet(nn.Module):
    """Images (N, C, H, W) float32 in [0, 1] → logits (N, outputs, H, W) float32.

    Args:
        in_channels: C.
        outputs: maps predicted per pixel.
        width: channels that the first level's block adds, at least 4; each level below doubles them.
        depth: number of transition layers.

    Raises:
        InputError: an argument is beyond its limits; H or W is not a multiple of ``stride``.
    """

    recipe: ClassVar[Mapping[str, object]] = {}

    def __init__(self, in_channels: int = 3, outputs: int = 1, width: int = 64, depth: int = 4) -> None:
        super().__init__()
        require_limits(
            "sharp dense U-Net", in_channels=in_channels, outputs=outputs, width=width, depth=depth
        )
        widths = [width * 2**level for level in range(depth + 1)]
        self.in_channels = in_channels
        self.width, self.depth = width, depth
        inputs = [in_channels, *widths[:-1]]
        handed_on = [one + added for one, added in zip(inputs, widths, strict=True)]  # maps of each block
        self.encoder = nn.ModuleList(_DenseBlock(inputs[level], widths[level]) for level in range(depth + 1))
        self.transition = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(handed_on[level], widths[level], kernel_size=1),
                nn.BatchNorm2d(widths[level]),
                nn.ReLU(inplace=True),
                nn.AvgPool2d(2),
            )
            for level in range(depth)
        )
        below = [*widths[1:depth], handed_on[depth]]
        self.upward = nn.ModuleList(_convolution(below[level], widths[level]) for level in range(depth))
        self.decoder = nn.ModuleList(
            _convolution(handed_on[level] + widths[level], widths[level]) for level in range(depth)
        )
        self.head = nn.Conv2d(width, outputs, kernel_size=1)
        kernel = torch.full((1, 1, 3, 3), -1.0)
        kernel[0, 0, 1, 1] = 9.0
        self.register_buffer("kernel", kernel, persistent=False)

    @property
    def stride(self) -> int:
        """Sides of the input must be multiples of this, in px."""
        return int(2**self.depth)

    @property
    def receptive_radius_px(self) -> int:
        """Largest distance, in px, of an input pixel from an output pixel that depends on it.

        Four convolutions reach 4·2^k px at each level k on the way down, two on the way up. Poolings add
        2^depth - 1. A skip at level k is sharpened, which is less than the way below it.
        """
        return int(_LAYERS * (2 ** (self.depth + 1) - 1) + 2 * (2**self.depth - 1) + 2**self.depth - 1)

    @property
    def memory_width(self) -> int:
        """As :func:`nucbatch.networks.contract.memory_width` describes; measured."""
        return -(-5 * self.width // 4)

    def forward(self, x: Tensor) -> Tensor:
        require_multiple(x, self.stride)
        skips: list[Tensor] = []
        for level in range(self.depth + 1):
            x = self.encoder[level](x)
            if level < self.depth:
                skips.append(self._sharpened(x))
                x = self.transition[level](x)
        for level in reversed(range(self.depth)):
            x = self.upward[level](interpolate(x, scale_factor=2, mode="nearest"))
            x = self.decoder[level](torch.cat([skips.pop(), x], dim=1))
        logits: Tensor = self.head(x)
        return logits

    def _sharpened(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        kernel = self.get_buffer("kernel").to(x.dtype).expand(channels, 1, 3, 3)
        return conv2d(x, kernel, padding=1, groups=channels)


class _DenseBlock(nn.Module):
    """Convolutions that each see the block's input and all outputs before; hands on input and outputs."""

    def __init__(self, inputs: int, added: int) -> None:
        super().__init__()
        grown = [added * (layer + 1) // _LAYERS - added * layer // _LAYERS for layer in range(_LAYERS)]
        self.layers = nn.ModuleList(
            _convolution(inputs + sum(grown[:layer]), grown[layer]) for layer in range(_LAYERS)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], dim=1)
        return x


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )
