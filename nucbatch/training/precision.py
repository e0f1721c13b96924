"""Numeric precision of a training step: float32 throughout, or automatic mixed precision (AMP).

Weights, their average, the optimiser's state and the loss are float32 always.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from nucbatch.core.errors import InputError
from nucbatch.inference.device import has_bf16

_HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """Runs a network forwards and applies its gradients in a given precision.

    ``name`` is fp32, bf16, fp16 or auto. auto means bf16 on a device with instructions for it and fp32
    elsewhere (a CPU without them emulates bf16, slowly). fp16 scales the loss, so that small gradients don't
    vanish; ``scaler`` holds the factor.

    Raises:
        InputError: the device has no such type.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        cuda = device.type == "cuda"
        if name == "auto":
            name = "bf16" if has_bf16(device) else "fp32"
        elif name == "bf16" and cuda and not has_bf16(device):
            raise InputError("this GPU has no bf16: use --precision fp16 or fp32.")
        self.name = name
        self.device = device
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")

    def forward(self, network: nn.Module, images: Tensor) -> Tensor:
        """Logits (N, outputs, H, W), or (heads, N, outputs, H, W), float32 of images (N, 3, H, W)."""
        images = images.contiguous(memory_format=torch.channels_last)
        if self.name == "fp32":
            logits: Tensor = network(images)
            return logits
        with torch.autocast(self.device.type, dtype=_HALF[self.name]):
            logits = network(images)
        return logits.float()

    def step(self, loss: Tensor, network: nn.Module, optimiser: Optimizer, clip: float) -> None:
        """Takes one optimiser step; ``clip`` is the largest norm of the gradient, 0 for no limit."""
        optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # so in torch
        if clip:
            self.scaler.unscale_(optimiser)
            clip_grad_norm_(network.parameters(), clip)
        self.scaler.step(optimiser)
        self.scaler.update()
