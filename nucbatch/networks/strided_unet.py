"""A U-Net at half the resolution, with a thin path at full resolution for outlines.

At equal cost it has twice the channels of a U-Net at full resolution and sees twice as far, because most of a
U-Net's work lies in its two convolutions at full resolution on either side. A strided convolution halves the
image, a U-Net follows, and its maps are brought back by sub-pixel convolution (Shi et al., CVPR 2016). One
convolution of the image itself at full resolution joins them, so that outlines stay sharp.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from nucbatch.networks.unet import require_limits, require_multiple
from nucbatch.networks.unet_plus import convolution

WIDEST = 256
"""Most channels of a level. Doubling them at the deepest levels too would double the file's size."""
_FINE = 8
"""Channels at full resolution."""


class StridedUNet(nn.Module):
    """Images (N, C, H, W) float32 in [0, 1] → logits (N, outputs, H, W) float32.

    Args:
        in_channels: C.
        outputs: maps predicted per pixel.
        width: channels at half the resolution; each level below doubles them up to ``WIDEST``.
        depth: number of halvings below half the resolution.

    Raises:
        InputError: an argument is beyond its limits; H or W is not a multiple of ``stride`` (the message has
            the padded size).
    """

    recipe: ClassVar[Mapping[str, object]] = {
        "width": 32,
        "steps": 30000,
        "batch": 6,
        "crop_px": 256,
        "learning_rate": 1e-3,
        "schedule": "held",
        "warmup": 0.01,
        "average": 0.999,
        "drawn": 0.12,
        "large": 0.16,
        "bodies": 0.2,
        "score_every": 1000,
        "checkpoint_every": 250,
    }

    def __init__(self, in_channels: int = 3, outputs: int = 1, width: int = 32, depth: int = 4) -> None:
        super().__init__()
        require_limits("strided U-Net", in_channels=in_channels, outputs=outputs, width=width, depth=depth)
        widths = [min(width * 2**level, max(WIDEST, width)) for level in range(depth + 1)]
        self.in_channels = in_channels
        self.width, self.depth = width, depth
        self.fine = convolution(in_channels, _FINE)
        self.stem = convolution(_FINE, width, stride=2)
        self.encoder = nn.ModuleList(
            nn.Sequential(
                *convolution(widths[max(level - 1, 0)], widths[level]),
                *convolution(widths[level], widths[level]),
            )
            for level in range(depth + 1)
        )
        self.upward = nn.ModuleList(
            nn.ConvTranspose2d(widths[level + 1], widths[level], kernel_size=2, stride=2)
            for level in range(depth)
        )
        self.decoder = nn.ModuleList(
            nn.Sequential(
                *convolution(2 * widths[level], widths[level]), *convolution(widths[level], widths[level])
            )
            for level in range(depth)
        )
        self.widen = nn.Conv2d(width, 4 * _FINE, kernel_size=1)
        self.shuffle = nn.PixelShuffle(2)
        self.join = convolution(2 * _FINE, 2 * _FINE)
        self.head = nn.Conv2d(2 * _FINE, outputs, kernel_size=1)
        self.pool = nn.MaxPool2d(2)

    @property
    def stride(self) -> int:
        """Sides of the input must be multiples of this, in px."""
        return int(2 ** (self.depth + 1))

    @property
    def receptive_radius_px(self) -> int:
        """Largest distance, in px, of an input pixel from an output pixel that depends on it.

        The U-Net at half the resolution reaches 7·2^depth - 5 of its pixels
        (:attr:`nucbatch.networks.unet.UNet.receptive_radius_px`), which are two image pixels wide. The
        strided convolution, those at full resolution before and after it, and the place within a pair add 4.
        """
        return int(2 * (7 * 2**self.depth - 5) + 4)

    @property
    def memory_width(self) -> int:
        """As :func:`nucbatch.networks.contract.memory_width` describes; measured."""
        return max(12, -(-(self.width + 20) // 4))

    def forward(self, x: Tensor) -> Tensor:
        require_multiple(x, self.stride)
        fine = self.fine(x)  # (N, 8, H, W)
        x = self.stem(fine)  # (N, width, H/2, W/2)
        skips: list[Tensor] = []
        for level in range(self.depth + 1):
            x = self.encoder[level](x)  # (N, widths[level], H/2^(level+1), W/2^(level+1))
            if level < self.depth:
                skips.append(x)
                x = self.pool(x)
        for level in reversed(range(self.depth)):
            x = torch.cat([skips.pop(), self.upward[level](x)], dim=1)
            x = self.decoder[level](x)
        x = self.shuffle(self.widen(x))  # (N, 8, H, W)
        x = self.join(torch.cat([fine, x], dim=1))
        logits: Tensor = self.head(x)
        return logits
