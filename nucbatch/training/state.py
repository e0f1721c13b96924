"""A training's state on disk: network, its moving average and the optimiser, in one safetensors file.

The decision owned here: batches depend on the step alone, so tensors and the step are the whole state. A
file is written beside its final name and renamed, so a kill leaves the state before or after, never half.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import AdamW

from nucbatch.errors import SettingsConflict

_KEY = "nucbatch-training"


def save_state(
    path: Path, network: nn.Module, average: nn.Module, optimiser: AdamW, step: int, recipe: str
) -> None:
    """Writes everything needed to go on after ``step`` steps; ``recipe`` is the settings' JSON."""
    tensors: dict[str, Tensor] = {}
    for prefix, module in (("network", network), ("average", average)):
        tensors |= {f"{prefix}.{name}": value.contiguous() for name, value in module.state_dict().items()}
    for position, slots in optimiser.state_dict()["state"].items():
        tensors |= {
            f"optimiser.{position}.{name}": torch.as_tensor(value).contiguous()
            for name, value in slots.items()
        }
    temporary = path.with_name(path.name + ".partial")
    temporary.write_bytes(save(tensors, metadata={_KEY: json.dumps({"step": step, "recipe": recipe})}))
    temporary.replace(path)


def load_state(path: Path, network: nn.Module, average: nn.Module, optimiser: AdamW, recipe: str) -> int:
    """Puts a state back and returns its step.

    Raises:
        SettingsConflict: the state was written under another recipe.
    """
    with safe_open(path, framework="pt") as stored:
        header = json.loads((stored.metadata() or {})[_KEY])
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (no iteration)
    if header["recipe"] != recipe:
        raise SettingsConflict(
            f"{path} was trained with other settings or data. Was: {header['recipe']} Now: {recipe} "
            "Use another folder, or the same settings."
        )
    for prefix, module in (("network.", network), ("average.", average)):
        module.load_state_dict(
            {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        )
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser."):
            _, position, slot = name.split(".")
            slots.setdefault(int(position), {})[slot] = value
    optimiser.load_state_dict({"state": slots, "param_groups": optimiser.state_dict()["param_groups"]})
    return int(header["step"])
