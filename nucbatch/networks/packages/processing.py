"""Pre- and post-processing of a package, in nucbatch's own terms.

The normalisation of an image becomes :class:`NormaliseSettings`, whose constants are measured in the whole
image, so that tiles can't change it. Steps that follow, and those after the network, act on single pixels;
they run with the network. Whatever needs a whole image after the network is refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nucbatch.core.errors import WeightsError
from nucbatch.core.settings import NormaliseSettings
from nucbatch.networks.packages.description import Step

_LARGEST_EPS = 1e-3
"""Largest epsilon in a denominator that is left out; grey levels are at least 1 apart in most images."""

BEFORE = (
    "ensure_dtype",
    "scale_linear",
    "clip",
    "binarize",
    "sigmoid",
    "zero_mean_unit_variance",
    "fixed_zero_mean_unit_variance",
    "scale_range",
)
"""Steps before the network that can be expressed."""
AFTER = ("ensure_dtype", "scale_linear", "clip", "sigmoid", "softmax", "binarize")
"""Steps after the network that can be expressed."""


@dataclass(frozen=True, slots=True)
class Pointwise:
    """A step on single pixels of (N, C, H, W). ``values`` as the step's kind needs them."""

    kind: str
    values: tuple[float, ...] = ()

    def __call__(self, x: Tensor) -> Tensor:
        match self.kind:
            case "scale_linear":
                return x * self.values[0] + self.values[1]
            case "clip":
                return x.clamp(*self.values)
            case "sigmoid":
                return torch.sigmoid(x)
            case "softmax":
                return torch.softmax(x, dim=1)
            case _:
                return (x > self.values[0]).to(x.dtype)


def preprocessing(steps: Sequence[Step], channels: int) -> tuple[NormaliseSettings, tuple[Pointwise, ...]]:
    """Returns the normalisation of an image, and the steps on single pixels that follow it.

    Args:
        steps: the package's steps, in order.
        channels: number of the input's channels.

    Raises:
        WeightsError: a step can't be expressed; the message names it.
    """
    found: NormaliseSettings | None = None
    after: list[Pointwise] = []
    for step in steps:
        _require_known(step, BEFORE, "before")
        if step.id not in ("zero_mean_unit_variance", "scale_range"):
            after += _pointwise(step)
            continue
        if found is not None:
            raise WeightsError(
                f"{step.id} after another normalisation of whole images can't be expressed: one is supported."
            )
        if any(one.kind != "scale_linear" or one.values[0] <= 0 for one in after):
            raise WeightsError(f"{step.id} after {after[-1].kind} can't be expressed: it must come first.")
        after = []  # scaling by a positive gain changes nothing before a normalisation
        _require_whole(step, channels)
        if step.id == "zero_mean_unit_variance":
            found = NormaliseSettings(method="standardise")
        else:
            low, high = step.kwargs.get("min_percentile", 0.0), step.kwargs.get("max_percentile", 100.0)
            found = _limits(_number(step, low, 0, 100), _number(step, high, 0, 100), step)
    return found or NormaliseSettings(method="linear", low=0.0, high=1.0), tuple(after)


def _limits(low: float, high: float, step: Step) -> NormaliseSettings:
    if not low < high:
        raise WeightsError(f"{step.id}: min_percentile {low:g} must be below max_percentile {high:g}.")
    return NormaliseSettings(method="scale_range", low_percent=low, high_percent=high)


def postprocessing(steps: Sequence[Step]) -> tuple[tuple[Pointwise, ...], float | None]:
    """Returns the steps on single pixels after the network, and the threshold of a final *binarize*.

    Raises:
        WeightsError: a step can't be expressed; the message names it.
    """
    found: list[Pointwise] = []
    for step in steps:
        _require_known(step, AFTER, "after")
        if found and found[-1].kind == "binarize":
            raise WeightsError(f"{step.id} after binarize can't be expressed: binarize must come last.")
        found += _pointwise(step)
    if found and found[-1].kind == "binarize":
        (threshold,) = found.pop().values
        return tuple(found), threshold
    return tuple(found), None


def _pointwise(step: Step) -> list[Pointwise]:
    kwargs = step.kwargs
    match step.id:
        case "scale_linear":
            gain, offset = (_scalar(step, key, default) for key, default in (("gain", 1.0), ("offset", 0.0)))
            return [Pointwise("scale_linear", (gain, offset))]
        case "fixed_zero_mean_unit_variance":
            mean, std = _scalar(step, "mean", None), _scalar(step, "std", None)
            if std <= 0:
                raise WeightsError(f"{step.id}: std {std:g} must be above 0.")
            return [Pointwise("scale_linear", (1 / std, -mean / std))]
        case "clip":
            if "min_percentile" in kwargs or "max_percentile" in kwargs:
                raise WeightsError("clip by percentiles can't be expressed: fixed limits are supported.")
            low, high = kwargs.get("min"), kwargs.get("max")
            limits = (
                -math.inf if low is None else _number(step, low),
                math.inf if high is None else _number(step, high),
            )
            return [Pointwise("clip", limits)]
        case "binarize":
            return [Pointwise("binarize", (_scalar(step, "threshold", None),))]
        case "softmax":
            if kwargs.get("axis", "channel") != "channel":
                raise WeightsError(
                    f"softmax along {kwargs['axis']!r} can't be expressed: only along channel."
                )
            return [Pointwise("softmax")]
        case "sigmoid":
            return [Pointwise("sigmoid")]
        case _:  # ensure_dtype: the network always gets float32
            return []


def _require_known(step: Step, known: tuple[str, ...], where: str) -> None:
    if step.id not in known:
        raise WeightsError(
            f"the step {step.id!r} {where} the network can't be expressed: supported are {', '.join(known)}."
        )


def _require_whole(step: Step, channels: int) -> None:
    """Checks that a normalisation uses all pixels of one image."""
    axes = step.kwargs.get("axes")
    if axes is not None and "batch" in axes:
        raise WeightsError(f"{step.id} over a data set can't be expressed: over one image is supported.")
    if axes is not None and not {"y", "x"} <= set(axes):
        raise WeightsError(
            f"{step.id} along {', '.join(map(str, axes))} can't be expressed: y and x are needed."
        )
    if axes is not None and channels > 1 and "channel" not in axes:
        raise WeightsError(
            f"{step.id} of each channel by itself can't be expressed: all at once is supported."
        )
    if step.kwargs.get("reference_tensor") is not None:
        raise WeightsError(f"{step.id} by another tensor can't be expressed.")
    eps = _number(step, step.kwargs.get("eps", 1e-6))
    if not 0 <= eps <= _LARGEST_EPS:
        raise WeightsError(f"{step.id} with eps {eps:g} can't be expressed: at most {_LARGEST_EPS:g}.")


def _scalar(step: Step, key: str, default: float | None) -> float:
    """A number, or the same number for every channel."""
    value = step.kwargs.get(key, default)
    several = value if isinstance(value, list) else [value]
    if not several or any(one != several[0] for one in several):
        raise WeightsError(f"{step.id} with another {key} for each channel can't be expressed.")
    return _number(step, several[0])


def _number(step: Step, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise WeightsError(f"{step.id}: {str(value)[:50]!r} is not a number.")
    if not low <= value <= high:
        raise WeightsError(f"{step.id}: {value:g} must be {low:g} to {high:g}.")
    return float(value)


def applied(image: NDArray[np.float32], settings: NormaliseSettings) -> NDArray[np.float32]:
    """Normalises a test image (N, C, Y, X) in the arithmetic of the specification."""
    values = image.astype(np.float64)
    low, high = settings.low, settings.high
    if settings.method == "standardise":
        low, high = values.mean(), values.mean() + values.std()
    elif settings.method == "scale_range":
        low, high = np.percentile(values, (settings.low_percent, settings.high_percent))
    if low is None or high is None or not high > low:
        return np.zeros(image.shape, np.float32)
    return np.asarray((values - low) / (high - low), np.float32)


Steps = tuple[Callable[[Tensor], Tensor], ...]
