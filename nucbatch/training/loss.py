"""The loss: how wrong logits are against foreground and interior."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from nucbatch.training.augment import Batch


def loss_and_dice(logits: Tensor, batch: Batch) -> tuple[Tensor, float]:
    """Loss (scalar, with gradient) of logits (N, 2, H, W), and the foreground's Dice coefficient.

    Weighted binary cross-entropy on both maps (the interior's target is a fraction, for which it is proper
    as well) plus the soft Dice loss of the foreground (Milletari et al. 2016) over the whole batch.
    """
    entropy = binary_cross_entropy_with_logits(logits, batch.targets, reduction="none") * batch.weight
    truth = batch.targets[:, 0]
    probability = torch.sigmoid(logits[:, 0])
    overlap = 2 * (probability * truth).sum() / (probability.sum() + truth.sum() + 1)
    loss = entropy[:, 0].mean() + 2 * entropy[:, 1].mean() + (1 - overlap)
    with torch.no_grad():
        found = logits[:, 0] >= 0
        dice = (2 * (found & (truth > 0)).sum() + 1) / (found.sum() + (truth > 0).sum() + 1)
    return loss, float(dice)
