"""U-Net+: a U-Net with densely connected encoder blocks and strided convolutions.

Source: Long, "Microscopy cell nuclei segmentation with enhanced U-Net", BMC Bioinformatics 21:8, 2020. In
the encoder's blocks, as in DenseNet (Huang et al., CVPR 2017), the second convolution sees the block's
input beside the first one's output, and the next level sees the outputs of both. Strided convolutions take
the place of pooling, and batch normalisation follows every convolution.

Chosen here: two convolutions in a block, each of half the level's width, so that a level hands on as many
maps as a U-Net's; one convolution in a block of the decoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from nucbatch.networks.unet import require_limits, require_multiple


class UNetPlus(nn.Module):
    """Images (N, C, H, W) float32 in [0, 1] → logits (N, outputs, H, W) float32.

    Args:
        in_channels: C.
        outputs: maps predicted per pixel.
        width: channels of the first level, an even number; each level below doubles them.
        depth: number of strided convolutions.

    Raises:
        InputError: an argument is beyond its limits; H or W is not a multiple of ``stride``.
    """

    recipe: ClassVar[Mapping[str, object]] = {}

    def __init__(self, in_channels: int = 3, outputs: int = 1, width: int = 64, depth: int = 4) -> None:
        super().__init__()
        require_limits("U-Net+", in_channels=in_channels, outputs=outputs, width=width, depth=depth)
        widths = [width * 2**level for level in range(depth + 1)]
        self.in_channels = in_channels
        self.width, self.depth = width, depth
        self.encoder = nn.ModuleList(
            _DenseBlock(widths[level - 1] if level else in_channels, widths[level])
            for level in range(depth + 1)
        )
        self.down = nn.ModuleList(
            convolution(widths[level], widths[level], stride=2) for level in range(depth)
        )
        self.upward = nn.ModuleList(
            nn.ConvTranspose2d(widths[level + 1], widths[level], kernel_size=2, stride=2)
            for level in range(depth)
        )
        self.decoder = nn.ModuleList(convolution(2 * widths[level], widths[level]) for level in range(depth))
        self.head = nn.Conv2d(width, outputs, kernel_size=1)

    @property
    def stride(self) -> int:
        """Sides of the input must be multiples of this, in px."""
        return int(2**self.depth)

    @property
    def receptive_radius_px(self) -> int:
        """Largest distance, in px, of an input pixel from an output pixel that depends on it.

        On the way down three convolutions reach 2^k px each at level k (the third is strided), at the deepest
        level two; on the way up one. Together 6·2^depth - 4. A pixel's place within the deepest level's
        pixel adds 2^depth - 1.
        """
        return int(7 * 2**self.depth - 5)

    @property
    def memory_width(self) -> int:
        """As :func:`nucbatch.networks.contract.memory_width` describes; measured."""
        return -(-9 * self.width // 8)

    def forward(self, x: Tensor) -> Tensor:
        require_multiple(x, self.stride)
        skips: list[Tensor] = []
        for level in range(self.depth + 1):
            x = self.encoder[level](x)  # (N, width·2^level, H/2^level, W/2^level)
            if level < self.depth:
                skips.append(x)
                x = self.down[level](x)
        for level in reversed(range(self.depth)):
            x = self.decoder[level](torch.cat([skips.pop(), self.upward[level](x)], dim=1))
        logits: Tensor = self.head(x)
        return logits


class _DenseBlock(nn.Module):
    """Two convolutions; the second sees the block's input too, and both outputs are handed on."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        first = outputs // 2
        self.first = convolution(inputs, first)
        self.second = convolution(inputs + first, outputs - first)

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        return torch.cat([first, self.second(torch.cat([x, first], dim=1))], dim=1)


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A 3×3 convolution with padding, batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
