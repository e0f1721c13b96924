"""The state of a training, saved in one safetensors file.

Batches depend on the step alone, so the state consists of tensors, the step, the running means since the last
line of the history, and the time taken. A file is written under a temporary name, flushed and renamed, so
that a kill or a power failure leaves the old state or the new one, never a part.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, as_tensor, nn
from torch.optim import Optimizer

from nucbatch.core.errors import InputError, SettingsConflict
from nucbatch.store.atomic import write_bytes
from nucbatch.training.precision import Precision

_KEY = "nucbatch-training"


@dataclass(slots=True)
class RunningMeans:
    """Sums of loss and Dice over steps, from which their means are computed."""

    loss: float = 0.0
    dice: float = 0.0
    steps: int = 0

    def add(self, loss: float, dice: float) -> None:
        self.loss += loss
        self.dice += dice
        self.steps += 1

    def means(self) -> tuple[float, float]:
        """Mean loss and Dice; NaN if no step was added."""
        if not self.steps:
            return float("nan"), float("nan")
        return self.loss / self.steps, self.dice / self.steps


@dataclass(slots=True)
class State:
    """Everything that a step changes.

    ``planned`` is the number of steps of the training, ``done`` of those taken; ``tally`` holds the means
    since the last scoring. ``replanned`` lists the changes of ``planned`` when the training was resumed: the
    step of the change, and the number planned until then. The learning rate depends on both.
    """

    network: nn.Module
    average: nn.Module
    optimiser: Optimizer
    precision: Precision
    planned: int
    done: int = 0
    tally: RunningMeans = field(default_factory=RunningMeans)
    seconds: float = 0.0
    replanned: list[tuple[int, int]] = field(default_factory=list)


def save_state(path: Path, state: State, identity: str) -> None:
    """Writes everything that is needed to resume; ``identity`` describes recipe, data and initial weights,
    without the number of steps.

    Raises:
        StoreError: the file can't be written; an earlier state is left unchanged.
    """
    tensors: dict[str, Tensor] = {}
    for prefix, module in (("network", state.network), ("average", state.average)):
        tensors |= {f"{prefix}.{name}": _stored(value) for name, value in module.state_dict().items()}
    for position, slots in state.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{position}.{name}": _stored(value) for name, value in slots.items()}
    header = {
        "identity": identity,
        "step": state.done,
        "planned": state.planned,
        "tally": [state.tally.loss, state.tally.dice, state.tally.steps],
        "seconds": state.seconds,
        "replanned": state.replanned,
        "precision": state.precision.name,
        "scaler": state.precision.scaler.state_dict(),
    }
    write_bytes(path, save(tensors, metadata={_KEY: json.dumps(header)}))


def load_state(path: Path, state: State, identity: str) -> None:
    """Restores a saved state, and continues in its precision, whatever this machine prefers.

    The number of steps may differ from that of the saved training; the change is recorded in the state.

    Raises:
        InputError: this device lacks that precision, or more steps are done than are planned now.
        SettingsConflict: the state belongs to another recipe, other data or other initial weights.
    """
    with safe_open(path, framework="pt") as stored:
        header = json.loads((stored.metadata() or {}).get(_KEY, "{}"))
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (no iteration)
    if header.get("identity") != identity:
        raise SettingsConflict(
            f"{path} was trained with other settings or data. "
            f"{_difference(header.get('identity'), identity)} Use another folder, or the same settings."
        )
    for prefix, module in (("network.", state.network), ("average.", state.average)):
        module.load_state_dict(
            {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        )
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser."):
            _, position, slot = name.split(".")
            slots.setdefault(int(position), {})[slot] = value
    groups = state.optimiser.state_dict()["param_groups"]
    state.optimiser.load_state_dict({"state": slots, "param_groups": groups})
    if "precision" in header:  # a state of an earlier version has none, and used the default of this machine
        state.precision = Precision(header["precision"], state.precision.device)
    if header["scaler"]:
        state.precision.scaler.load_state_dict(header["scaler"])
    state.done, state.tally, state.seconds = header["step"], RunningMeans(*header["tally"]), header["seconds"]
    state.replanned = [(step, steps) for step, steps in header.get("replanned", [])]
    if state.planned < state.done:
        raise InputError(
            f"{path} has done {state.done} steps, and {state.planned} are planned. Plan at least as many."
        )
    if header["planned"] != state.planned:
        state.replanned.append((state.done, header["planned"]))


def _stored(value: Any) -> Tensor:
    return as_tensor(value).detach().cpu().contiguous()


def _difference(was: str | None, now: str) -> str:
    if was is None:
        return "It was written by another version."
    before, after = _flat(json.loads(was)), _flat(json.loads(now))
    return " ".join(
        f"{key}: {before.get(key)} → {after.get(key)}."
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
