"""The U-Net of the paper, with width and depth as parameters.

Encoder blocks of two 3×3 same convolutions (with bias), each followed by batch normalisation and ReLU, 2×2
max pooling between levels; decoder of 2×2 stride-2 transposed convolutions and concatenated skips; a 1×1
convolution at the end. Source: Ronneberger, Fischer, Brox, "U-Net", MICCAI 2015, with same instead of valid
convolutions and with batch normalisation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nucbatch.core.errors import InputError

LIMITS = {"in_channels": 64, "outputs": 64, "width": 1024, "depth": 8}
"""The largest value of each argument; the smallest is 1."""


class UNet(nn.Module):
    """Images (N, C, H, W) float32 in [0, 1] → logits (N, outputs, H, W) float32.

    Args:
        in_channels: C.
        outputs: maps predicted per pixel.
        width: channels of the first level; each level below doubles them. 64 in the paper.
        depth: number of poolings. 4 in the paper.

    Raises:
        InputError: an argument is beyond its limits; H or W is not a multiple of ``stride`` (the message has
            the padded size).
    """

    def __init__(self, in_channels: int = 3, outputs: int = 1, width: int = 64, depth: int = 4) -> None:
        super().__init__()
        require_limits("U-Net", in_channels=in_channels, outputs=outputs, width=width, depth=depth)
        widths = [width * 2**level for level in range(depth + 1)]
        inputs = [in_channels, *widths[:-1]]
        self.in_channels = in_channels
        self.width, self.depth = width, depth
        self.encoder = nn.ModuleList(self.block(inputs[level], widths[level]) for level in range(depth + 1))
        self.upward = nn.ModuleList(
            nn.ConvTranspose2d(widths[level + 1], widths[level], kernel_size=2, stride=2)
            for level in range(depth)
        )
        self.decoder = nn.ModuleList(self.block(2 * widths[level], widths[level]) for level in range(depth))
        self.head = nn.Conv2d(width, outputs, kernel_size=1)
        self.pool = nn.MaxPool2d(2)

    @staticmethod
    def block(inputs: int, outputs: int) -> nn.Sequential:
        """The convolutions of one level."""
        return double_convolution(inputs, outputs)

    @property
    def stride(self) -> int:
        """Sides of the input must be multiples of this, in px."""
        return int(2**self.depth)

    @property
    def receptive_radius_px(self) -> int:
        """Largest distance, in px, of an input pixel from an output pixel that depends on it.

        Two convolutions reach 2·2^k px at each level k, on the way down and again on the way up (once at the
        deepest level): 6·2^depth - 4. Poolings add 2^depth - 1, the distance between both ends of a pooling
        window of the deepest level.
        """
        return int(7 * 2**self.depth - 5)

    def forward(self, x: Tensor) -> Tensor:
        require_multiple(x, self.stride)
        # Layer by layer, and each skip is released where it is used, so that no map is kept longer.
        skips: list[Tensor] = []
        for level in range(self.depth + 1):
            for layer in self.encoder[level].children():
                x = layer(x)  # (N, width·2^level, H/2^level, W/2^level)
            if level < self.depth:
                skips.append(x)
                x = self.pool(x)
        for level in reversed(range(self.depth)):
            x = self.upward[level](x)
            x = torch.cat([skips.pop(), x], dim=1)
            for layer in self.decoder[level].children():
                x = layer(x)
        logits: Tensor = self.head(x)
        return logits


def require_limits(kind: str, **arguments: int) -> None:
    """Checks a network's arguments against :data:`LIMITS`.

    Raises:
        InputError: one is smaller than 1, or too large.
    """
    for name, value in arguments.items():
        if not 1 <= value <= LIMITS[name]:
            raise InputError(f"a {kind} of {name} {value}: {name} must be from 1 to {LIMITS[name]}.")


def require_multiple(images: Tensor, stride: int) -> None:
    """Checks that images (N, C, H, W) fit a network of this stride.

    Raises:
        InputError: H or W is not a multiple of ``stride``; the message has the padded size.
    """
    if images.shape[-2] % stride or images.shape[-1] % stride:
        right = tuple(-(-side // stride) * stride for side in images.shape[-2:])
        raise InputError(
            f"an image of {tuple(images.shape[-2:])} px does not fit the network: both sides must be "
            f"multiples of {stride}. Pad it by reflection to {right}."
        )


def double_convolution(inputs: int, outputs: int) -> nn.Sequential:
    """Two 3×3 same convolutions with bias, each followed by batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, kernel_size=3, padding=1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
