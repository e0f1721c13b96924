"""U-Net++: nested dense skips between encoder and decoder, with deep supervision and pruning.

Source: Zhou, Siddiquee, Tajbakhsh, Liang, "UNet++: A Nested U-Net Architecture for Medical Image
Segmentation", DLMIA 2018. Node (i, j) lies at level i, j nodes from the encoder; it sees all nodes before
it at its level, and node (i + 1, j - 1) enlarged. With deep supervision each node (0, j) has a head: the
loss is the mean over the heads' losses, the result the mean of their logits (the paper's accurate mode). A
network pruned to level L computes nothing beyond node (0, L) and returns that head's logits.

Chosen here: batch normalisation after each convolution, which the paper does not mention.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from nucbatch.core.errors import InputError
from nucbatch.networks.unet import double_convolution, require_limits, require_multiple


class UNetPlusPlus(nn.Module):
    """Images (N, C, H, W) float32 in [0, 1] → logits (N, outputs, H, W) float32.

    In training with deep supervision the logits are (heads, N, outputs, H, W).

    Args:
        in_channels: C.
        outputs: maps predicted per pixel.
        width: channels of the first level; each level below doubles them. 32 in the paper.
        depth: number of poolings. 4 in the paper.
        supervised: 1 with deep supervision, 0 with one head at the last node.
        prune: level to which a supervised network is pruned, 1 to ``depth``; 0: not pruned.

    Raises:
        InputError: an argument is beyond its limits; H or W is not a multiple of ``stride``.
    """

    recipe: ClassVar[Mapping[str, object]] = {}

    def __init__(
        self,
        in_channels: int = 3,
        outputs: int = 1,
        width: int = 32,
        depth: int = 4,
        supervised: int = 0,
        prune: int = 0,
    ) -> None:
        super().__init__()
        require_limits("U-Net++", in_channels=in_channels, outputs=outputs, width=width, depth=depth)
        if supervised not in (0, 1):
            raise InputError(f"a U-Net++ of supervised {supervised}: it must be 0 or 1.")
        if not 0 <= prune <= depth or (prune and not supervised):
            allowed = f"from 1 to {depth}" if supervised else "0, because only a supervised network has heads"
            raise InputError(f"a U-Net++ can't be pruned to level {prune}: the level must be {allowed}.")
        self.in_channels = in_channels
        self.width, self.levels = width, prune or depth
        self.pruned = bool(prune)
        widths = [width * 2**level for level in range(self.levels + 1)]
        self.encoder = nn.ModuleList(
            double_convolution(widths[level - 1] if level else in_channels, widths[level])
            for level in range(self.levels + 1)
        )
        self.upward = nn.ModuleDict()
        self.nodes = nn.ModuleDict()
        for j in range(1, self.levels + 1):
            for i in range(self.levels + 1 - j):
                self.upward[f"{i}_{j}"] = nn.ConvTranspose2d(
                    widths[i + 1], widths[i], kernel_size=2, stride=2
                )
                self.nodes[f"{i}_{j}"] = double_convolution((j + 1) * widths[i], widths[i])
        headed = range(1, self.levels + 1) if supervised and not prune else [self.levels]
        self.heads = nn.ModuleDict({str(j): nn.Conv2d(width, outputs, kernel_size=1) for j in headed})
        self.pool = nn.MaxPool2d(2)

    @property
    def stride(self) -> int:
        """Sides of the input must be multiples of this, in px."""
        return int(2**self.levels)

    @property
    def receptive_radius_px(self) -> int:
        """As that of :class:`nucbatch.networks.unet.UNet`, whose longest path is also the longest here."""
        return int(7 * 2**self.levels - 5)

    @property
    def memory_width(self) -> int:
        """As :func:`nucbatch.networks.contract.memory_width` describes; measured."""
        return self.levels * self.width

    def forward(self, x: Tensor) -> Tensor:
        logits = self.heads_of(x)
        if len(logits) == 1:
            return logits[0]
        heads = torch.stack(logits)  # (heads, N, outputs, H, W)
        return heads if self.training else heads.mean(dim=0)

    def heads_of(self, x: Tensor) -> list[Tensor]:
        """Logits (N, outputs, H, W) of each head, from the shallowest to the deepest."""
        require_multiple(x, self.stride)
        rows: list[list[Tensor]] = []  # rows[i]: the nodes of level i so far
        logits: list[Tensor] = []
        for level in range(self.levels + 1):
            x = self.encoder[level](x if not level else self.pool(x))
            rows.append([x])
            for i in reversed(range(level)):  # the diagonal of nodes that become possible
                j = level - i
                above = self.upward[f"{i}_{j}"](rows[i + 1][j - 1])
                rows[i].append(self.nodes[f"{i}_{j}"](torch.cat([*rows[i], above], dim=1)))
            if str(level) in self.heads:
                logits.append(self.heads[str(level)](rows[0][level]))
        return logits


class SupervisedUNetPlusPlus(UNetPlusPlus):
    """U-Net++ with deep supervision; arguments as for :class:`UNetPlusPlus`."""

    def __init__(
        self, in_channels: int = 3, outputs: int = 1, width: int = 32, depth: int = 4, prune: int = 0
    ) -> None:
        super().__init__(in_channels, outputs, width, depth, supervised=1, prune=prune)
