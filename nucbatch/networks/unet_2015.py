"""The U-Net as first published: unpadded convolutions, cropped skips, no normalisation.

Source: Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation",
MICCAI 2015. Each convolution without padding loses one pixel on each side, so that with four levels an
input of 572 px gives an output of 388 px. Overlapping tiles with mirrored borders make up for it: the
network pads its input by reflection, so that the output has the input's size.

Chosen here: dropout of whole maps with probability 0.5 at the two deepest levels; the paper does not say
which kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import ClassVar

import torch
from torch import Tensor, nn

from nucbatch.networks.reflect import reflected
from nucbatch.networks.unet import require_limits, require_multiple


class UNet2015(nn.Module):
    """Images (N, C, H, W) float32 in [0, 1] → logits (N, outputs, H, W) float32.

    Args:
        in_channels: C; 1 in the paper.
        outputs: maps predicted per pixel; 2 in the paper.
        width: channels of the first level; each level below doubles them. 64 in the paper.
        depth: number of poolings. 4 in the paper.

    Raises:
        InputError: an argument is beyond its limits; H or W is not a multiple of ``stride``.
    """

    recipe: ClassVar[Mapping[str, object]] = {
        "learning_rate": 1e-3,  # without normalisation, the default's rate diverges
        "elastic_px": 10.0,
        "weights": "borders",
    }

    def __init__(self, in_channels: int = 3, outputs: int = 1, width: int = 64, depth: int = 4) -> None:
        super().__init__()
        require_limits("U-Net of 2015", in_channels=in_channels, outputs=outputs, width=width, depth=depth)
        widths = [width * 2**level for level in range(depth + 1)]
        inputs = [in_channels, *widths[:-1]]
        self.in_channels = in_channels
        self.depth = depth
        self.encoder = nn.ModuleList(
            _double_convolution(inputs[level], widths[level]) for level in range(depth + 1)
        )
        self.upward = nn.ModuleList(
            nn.ConvTranspose2d(widths[level + 1], widths[level], kernel_size=2, stride=2)
            for level in range(depth)
        )
        self.decoder = nn.ModuleList(
            _double_convolution(2 * widths[level], widths[level]) for level in range(depth)
        )
        self.drop = nn.Dropout2d(0.5)
        self.head = nn.Conv2d(width, outputs, kernel_size=1)
        self.pool = nn.MaxPool2d(2)
        for layer in self.modules():
            if isinstance(
                layer, nn.Conv2d | nn.ConvTranspose2d
            ):  # standard deviation √(2 / inputs), section 3
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    @property
    def stride(self) -> int:
        """Sides of the input must be multiples of this, in px."""
        return int(2**self.depth)

    @property
    def receptive_radius_px(self) -> int:
        """As that of :class:`nucbatch.networks.unet.UNet`, because padding changes no distance."""
        return int(7 * 2**self.depth - 5)

    @property
    def margin_px(self) -> int:
        """Pixels that are lost on each side: 92 with four levels."""
        return int(6 * 2**self.depth - 4)

    def unpadded(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) → logits (N, outputs, H - 2 · margin, W - 2 · margin), as in the paper.

        ``H`` and ``W``: 572, or another side that no pooling has to halve while it is odd.
        """
        skips: list[Tensor] = []
        for level in range(self.depth + 1):
            x = self.encoder[level](x)  # (N, width·2^level, …), 4 px smaller
            if level >= self.depth - 1:
                x = self.drop(x)
            if level < self.depth:
                skips.append(x)
                x = self.pool(x)
        for level in reversed(range(self.depth)):
            x = self.upward[level](x)
            skip = skips.pop()
            top, left = (skip.shape[-2] - x.shape[-2]) // 2, (skip.shape[-1] - x.shape[-1]) // 2
            skip = skip[..., top : top + x.shape[-2], left : left + x.shape[-1]]
            x = self.decoder[level](torch.cat([skip, x], dim=1))
        logits: Tensor = self.head(x)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        require_multiple(x, self.stride)
        more = self._surplus_px
        begin, end = self.margin_px + more // 2, self.margin_px + more - more // 2
        logits = self.unpadded(reflected(x, begin, end))
        return logits[..., more // 2 : more // 2 + x.shape[-2], more // 2 : more // 2 + x.shape[-1]]

    @property
    def _surplus_px(self) -> int:
        """Pixels by which an input must be larger, so that no pooling has to halve an odd side: 4 or none."""
        even = (
            2 * self.margin_px + more for more in count() if self._is_halved_evenly(2 * self.margin_px + more)
        )
        return next(even) - 2 * self.margin_px

    def _is_halved_evenly(self, side_px: int) -> bool:
        side_px += 64 * self.stride  # large enough; multiples of the stride change nothing
        for _ in range(self.depth):
            if side_px % 2:
                return False
            side_px = (side_px - 4) // 2
        return True


def _double_convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, kernel_size=3),
        nn.ReLU(inplace=True),
    )
