"""The loss of the nuclei task: weighted cross-entropy, soft Dice and the error of offsets."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, smooth_l1_loss

from nucbatch.masks.flows import REACH_PX
from nucbatch.training.augment import Batch
from nucbatch.training.targets import SMALLEST_RADIUS_PX

OFFSET_BETA = 0.1


def loss_and_dice(logits: Tensor, batch: Batch) -> tuple[Tensor, float]:
    """Loss (scalar, with gradient) of logits (N, 4, H, W), and the Dice coefficient of the foreground.

    The loss is the sum of three terms. (1) Weighted binary cross-entropy of foreground and interior; the
    interior's target is a fraction, for which cross-entropy is a proper loss too. (2) Soft Dice loss of the
    foreground over the whole batch (Milletari et al. 2016). (3) Inside nuclei, the smooth L1 distance of the
    offsets in units of the nucleus' radius. Each pixel is weighted by the inverse of that radius, so that
    large nuclei don't dominate small ones.
    """
    known = (batch.weight[:, 0] > 0).float()
    pixels = known.sum().clamp(min=1)
    entropy = binary_cross_entropy_with_logits(logits[:, :2], batch.targets[:, :2], reduction="none")
    entropy = (entropy * batch.weight).sum(dim=(0, 2, 3)) / pixels  # (2,)
    truth = batch.targets[:, 0] * known
    probability = torch.sigmoid(logits[:, 0]) * known
    overlap = 2 * (probability * truth).sum() / (probability.sum() + truth.sum() + 1)

    radius = batch.radius.clamp(min=SMALLEST_RADIUS_PX)
    away = (torch.sigmoid(logits[:, 2:4]) - batch.targets[:, 2:4]) * (2 * REACH_PX) / radius
    share = (batch.radius > 0) * batch.weight / radius  # (N, 1, H, W)
    astray = smooth_l1_loss(away, torch.zeros_like(away), beta=OFFSET_BETA, reduction="none").sum(dim=1)
    offset = (astray * share[:, 0]).sum() / share.sum().clamp(min=1)

    loss = entropy[0] + entropy[1] + (1 - overlap) + offset
    with torch.no_grad():
        found = (logits[:, 0] >= 0) & (known > 0)
        dice = (2 * (found & (truth > 0)).sum() + 1) / (found.sum() + (truth > 0).sum() + 1)
    return loss, float(dice)
