"""Classical methods as networks without weights, so that they run and are compared like trained models.

The image is normalised so that the threshold of its histogram becomes 0.5
(:mod:`nucbatch.inference.histogram_thresholds`). What is left for the network are filters of a few pixels, so
that the result does not depend on tiles. Objects are made from its maps by a watershed.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from nucbatch.networks.reflect import reflected

_STEEP = 1000.0
"""Slope of the foreground's logit: pixels are nucleus or background, with hardly anything in between."""
_GRADIENT = 4.0
"""Sobel's gradient, per pixel, at which the interior is 0: the steepest at a straight outline is 0.27."""
_CLOSEST = 1e-3
"""Interior values stay this far from 0 and 1, whose logits are infinite."""


class OtsuWatershed(nn.Module):
    """Images (N, 3, H, W) float32 in [0, 1] → logits (N, 1, H, W) of the foreground.

    The grey image is smoothed (Gaussian, sigma 1 px) and thresholded at 0.5: with normalisation *otsu*, at
    Otsu's threshold. Touching nuclei are split by a watershed on the distance to the outline, which
    :func:`nucbatch.masks.objects.find_nuclei` does where there is no interior map.

    Args:
        in_channels: 3.
        outputs: 1.
        width: number of maps in memory at once, for the projection of memory.
    """

    sigma_px: ClassVar[float] = 1.0

    def __init__(self, in_channels: int = 3, outputs: int = 1, width: int = 4) -> None:
        super().__init__()
        self.in_channels = in_channels
        # Always on the CPU: on the device "meta", where a file's shapes are checked, such constants load the
        # compiler, which takes 1.3 s.
        at = torch.arange(-self._smoothed_px, self._smoothed_px + 1, dtype=torch.float32, device="cpu")
        line = torch.exp(-(at**2) / (2 * self.sigma_px**2))
        self.register_buffer("smoothing", (line[:, None] * line)[None, None] / line.sum() ** 2)

    @property
    def stride(self) -> int:
        """Sides of the input may have any length."""
        return 1

    @property
    def receptive_radius_px(self) -> int:
        """Radius of the smoothing."""
        return self._smoothed_px

    @property
    def _smoothed_px(self) -> int:
        return math.ceil(3 * self.sigma_px)

    def forward(self, x: Tensor) -> Tensor:
        return _STEEP * (self.smoothed(x) - 0.5)

    def smoothed(self, x: Tensor) -> Tensor:
        """The smoothed grey image (N, 1, H, W)."""
        return _filtered(x.mean(dim=1, keepdim=True), self.get_buffer("smoothing"))


class KMeansWatershed(OtsuWatershed):
    """Images (N, 3, H, W) float32 in [0, 1] → logits (N, 2, H, W) of foreground and interior.

    After Salman, "Image Segmentation Based on Watershed and Edge Detection Techniques", International Arab
    Journal of Information Technology 3(2), 2006: K-means of grey levels, then a watershed on a map of edge
    strength. The foreground is as in :class:`OtsuWatershed`, with normalisation *kmeans*. The edge strength
    is the difference in strength: the largest difference between the means of opposite rows, columns or
    corners of 3 × 3 pixels, relative to the grey level. The interior is high where it is low, so that flat
    areas become markers. Left out is the paper's merging of regions by mean intensity: a marker needs an area
    instead.
    """

    def __init__(self, in_channels: int = 3, outputs: int = 2, width: int = 8) -> None:
        super().__init__(in_channels, outputs, width)
        row = torch.tensor([[-1.0, -1, -1], [0, 0, 0], [1, 1, 1]], device="cpu")
        corner = torch.tensor([[-1.0, -1, 0], [-1, 0, 1], [0, 1, 1]], device="cpu")
        self.register_buffer("edges", torch.stack([row, row.T, corner, corner.flip(0)])[:, None] / 3)

    @property
    def receptive_radius_px(self) -> int:
        """Radius of the smoothing and of the edges' 3 × 3 pixels."""
        return self._smoothed_px + 1

    def forward(self, x: Tensor) -> Tensor:
        grey = self.smoothed(x)
        strength = _filtered(grey, self.get_buffer("edges")).abs().amax(dim=1, keepdim=True)
        flat = (1 - strength / grey.clamp(min=0.25)).clamp(_CLOSEST, 1 - _CLOSEST)
        return torch.cat([_STEEP * (grey - 0.5), torch.logit(flat)], dim=1)


class LabKMeansWatershed(OtsuWatershed):
    """Images (N, 3, H, W) float32 in [0, 1] → logits (N, 2, H, W) of foreground and interior.

    For stained tissue, after Bora and Gupta, "A Novel Approach Towards Clustering Based Image Segmentation",
    International Journal of Emerging Science and Engineering 2(11), 2014 (arXiv:1506.01710): K-means of
    colours in L*a*b* with the cosine distance, Sobel's filter of the segmented image, and a watershed from
    markers. With normalisation *lab-kmeans* the input is 1 in the nuclei's cluster and 0 elsewhere. It is
    smoothed (Gaussian, sigma 1.5 px). The interior is low where Sobel's gradient is steep, so that flat areas
    become markers and outlines the ridges between them.

    Chosen here, where the paper's abstract is silent: three clusters, the bluest of which is the nuclei's; L*
    is clustered together with a* and b*, because the hue of grey glass is noise; the smoothing.
    """

    sigma_px: ClassVar[float] = 1.5

    def __init__(self, in_channels: int = 3, outputs: int = 2, width: int = 8) -> None:
        super().__init__(in_channels, outputs, width)
        across = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], device="cpu")
        self.register_buffer("sobel", torch.stack([across, across.T])[:, None] / 8)

    @property
    def receptive_radius_px(self) -> int:
        """Radius of the smoothing and of Sobel's filter."""
        return self._smoothed_px + 1

    def forward(self, x: Tensor) -> Tensor:
        share = self.smoothed(x)
        gradient = _filtered(share, self.get_buffer("sobel")).square().sum(dim=1, keepdim=True).sqrt()
        flat = (1 - _GRADIENT * gradient).clamp(_CLOSEST, 1 - _CLOSEST)
        return torch.cat([_STEEP * (share - 0.5), torch.logit(flat)], dim=1)


def _filtered(grey: Tensor, kernels: Tensor) -> Tensor:
    """Filters (N, 1, H, W) with kernels (K, 1, S, S); borders are mirrored. Returns (N, K, H, W)."""
    margin = kernels.shape[-1] // 2
    return conv2d(reflected(grey, margin, margin), kernels.to(grey.dtype))
