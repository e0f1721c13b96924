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
from typing import ClassVar

import torch
from torch import Tensor, nn

from nucbatch.networks.reflect import reflected
from nucbatch.networks.unet import UNet, require_multiple


class UNet2015(UNet):
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
        super().__init__(in_channels, outputs, width, depth)
        self.drop = nn.Dropout2d(0.5)
        for layer in self.modules():  # standard deviation √(2 / inputs), section 3
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    @staticmethod
    def block(inputs: int, outputs: int) -> nn.Sequential:
        """Two 3×3 convolutions without padding, each followed by ReLU."""
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel_size=3),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, kernel_size=3),
            nn.ReLU(inplace=True),
        )

    @property
    def margin_px(self) -> int:
        """Pixels that are lost on each side: 92 with four levels."""
        return int(6 * 2**self.depth - 4)

    @property
    def memory_width(self) -> int:
        """As :func:`nucbatch.networks.contract.memory_width` describes; measured."""
        return -(-9 * self.width // 4)

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
        # No pooling halves an odd side if the input has 4 px less than a multiple of the stride. Two margins
        # are 8 px less than one, so the input is padded by 4 px more, which are cut off again.
        cut = 4 % self.stride // 2
        logits = self.unpadded(reflected(x, self.margin_px + cut, self.margin_px + cut))
        return logits[..., cut : cut + x.shape[-2], cut : cut + x.shape[-1]]
