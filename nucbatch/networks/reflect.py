"""Pads images by reflection, as mirrored borders that a network needs around them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def reflected(images: Tensor, before_px: int, after_px: int) -> Tensor:
    """Images (N, C, H, W) with mirrored borders above and left (``before_px``) and below and right.

    Unlike torch's padding, a border may be wider than the image.
    """
    rows, columns = (
        torch.from_numpy(np.pad(np.arange(side), (before_px, after_px), mode="reflect")).to(images.device)
        for side in images.shape[-2:]
    )
    return images[..., rows, :][..., columns]
