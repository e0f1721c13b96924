"""A foreign network behind the interface of nucbatch's own: normalised images in, logits of our maps out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from nucbatch.core.errors import PrecisionError, WeightsError
from nucbatch.networks.packages.processing import Pointwise
from nucbatch.networks.packages.roles import maps_of, outputs_of

_CLOSEST = 1e-6
"""Probabilities stay this far from 0 and 1, whose logits are infinite."""


class ForeignNetwork(nn.Module):
    """Images (N, 3, H, W) float32, normalised as the package says → logits (N, outputs, H, W) float32.

    Args:
        model: (N, channels, H, W) → (N, C, H, W), or several of them.
        channels: 1 or 3. For 1, the three channels of the input are averaged, which are equal in grey images.
        before: steps on single pixels before the model.
        after: steps on single pixels for each of the model's outputs.
        roles: meaning of each channel of all outputs together.
    """

    def __init__(
        self,
        model: nn.Module,
        channels: int,
        before: Sequence[Pointwise],
        after: Sequence[Sequence[Pointwise]],
        roles: Sequence[str],
    ) -> None:
        super().__init__()
        self.model = model
        self.channels = channels
        self.before, self.after, self.roles = tuple(before), tuple(map(tuple, after)), tuple(roles)
        self.in_channels = 3
        self.stride = 1
        self.receptive_radius_px = 1
        self.register_buffer("kind", torch.zeros(1))  # a script may have neither parameters nor buffers

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the maps."""
        return outputs_of(self.roles)

    def forward(self, x: Tensor) -> Tensor:
        if self.channels == 1:
            x = x.mean(dim=1, keepdim=True)
        maps = maps_of(torch.cat(self.predicted(x), dim=1), self.roles)
        return torch.logit(maps.clamp(_CLOSEST, 1 - _CLOSEST))

    def predicted(self, x: Tensor) -> list[Tensor]:
        """The package's outputs (N, C, H, W) for normalised images (N, ``channels``, H, W).

        Raises:
            WeightsError: there are more or fewer outputs or channels than described.
        """
        for step in self.before:
            x = step(x)
        found: Any = self.model(x)
        several = list(found) if isinstance(found, tuple | list) else [found]
        if len(several) != len(self.after) or any(not isinstance(one, Tensor) for one in several):
            raise WeightsError(f"the network has {len(several)} outputs, {len(self.after)} are described.")
        maps = [one.unsqueeze(1) if one.ndim == 3 else one for one in several]
        if any(one.ndim != 4 for one in maps) or sum(one.shape[1] for one in maps) != len(self.roles):
            shapes = ", ".join(str(tuple(one.shape)) for one in maps)
            raise WeightsError(
                f"the network's output has shape {shapes}: {len(self.roles)} channels are described."
            )
        for at, steps in enumerate(self.after):
            for step in steps:
                maps[at] = step(maps[at])
        return maps

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Moves the network; another precision is refused, because code of others may contain float32."""
        changed = fn(torch.zeros(1)).dtype
        if changed != torch.float32:
            name = str(changed).removeprefix("torch.")
            raise PrecisionError(
                f"a network from a package computes in float32, not in {name}: use --precision fp32."
            )
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch has no types here
        return self
