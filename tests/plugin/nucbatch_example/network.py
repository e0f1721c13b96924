"""A network without levels: ``depth`` 3×3 convolutions, one after the other."""

from __future__ import annotations

from torch import Tensor, nn


class PlainNetwork(nn.Module):
    """Images (N, C, H, W) float32 → logits (N, outputs, H, W) float32; any height and width."""

    def __init__(self, in_channels: int = 3, outputs: int = 1, width: int = 16, depth: int = 4) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.depth = depth
        layers: list[nn.Module] = []
        for level in range(depth):
            layers += [nn.Conv2d(width if level else in_channels, width, 3, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, outputs, 1))

    @property
    def stride(self) -> int:
        """Sides of the input may have any length."""
        return 1

    @property
    def receptive_radius_px(self) -> int:
        """Each convolution reaches one pixel further."""
        return self.depth

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)
        return logits
