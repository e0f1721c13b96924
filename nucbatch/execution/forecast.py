"""Forecast of the network's computing time, measured before anything is submitted.

Times the network on one tile of the run's most common shape, and multiplies by the number of tiles.
"""

from __future__ import annotations

import time
from collections import Counter

import numpy as np

from nucbatch.core.errors import PrecisionError
from nucbatch.core.numeric_kind import decide, in_words, is_kind, keeps, on_gpu, precision_of
from nucbatch.core.settings import RunSettings
from nucbatch.execution.prepared import Prepared
from nucbatch.inference.device import CpuDevice, offer_here
from nucbatch.networks.checkpoint import load_weights
from nucbatch.store.kept_maps import BYTES_PER_VALUE


def kept_bytes(prepared: Prepared, *, of_fields: bool) -> int:
    """Estimates the size on disk of the probabilities that the plan keeps.

    Args:
        prepared: the run.
        of_fields: whether those of fields of one block are kept; those of large images always are.
    """
    plan, zoom = prepared.plan, prepared.scale.zoom or 1.0
    pixels = sum(
        field.height_px * field.width_px for field in plan.selected if of_fields or plan.is_large(field)
    )
    return round(pixels * zoom**2 * len(prepared.card.outputs) * BYTES_PER_VALUE)


def core_seconds(prepared: Prepared) -> float:
    """Estimates the network's time for the whole plan on one core of this machine, in seconds.

    For a kind of a GPU, estimates fp32 on this machine's processor.

    Raises:
        WeightsError: the model can't be read.
    """
    selected = prepared.plan.selected
    shapes = Counter(zip(selected.values("height_px"), selected.values("width_px"), strict=True))
    if not shapes:
        return 0.0
    windows: Counter[tuple[int, int]] = Counter()
    zoom = prepared.scale.zoom or 1.0
    for (height, width), fields in shapes.items():
        seen = max(1, round(height * zoom)), max(1, round(width * zoom))
        for tile in prepared.grid.tiles(*seen):
            windows[tile.window.shape] += fields
    most, _ = max(windows.items(), key=lambda item: item[1] * item[0][0] * item[0][1])
    asked = prepared.plan.settings.precision
    kind = "fp32" if asked == "fp16" else _kind_here(prepared, asked)
    precision = "fp32" if on_gpu(kind) else precision_of(kind)
    device = CpuDevice(load_weights(prepared.weights)[0], precision)
    for _ in range(2):  # the first call is a warm-up
        began = time.perf_counter()
        device.begin([np.zeros((3, *most), np.float32)])
        seconds = time.perf_counter() - began
    pixels = sum(height * width * times for (height, width), times in windows.items())
    return seconds * pixels / (most[0] * most[1])


def kind_sentence(prepared: Prepared, begun: RunSettings | None) -> str:
    """Says in which arithmetic the network will compute; empty if the run has no network.

    Args:
        prepared: the run.
        begun: the settings with which the run was started, if it was.
    """
    asked = prepared.plan.settings.precision
    if prepared.masks is not None:
        return ""
    if begun is not None and keeps(asked, begun.precision):
        return f"The network computes in {in_words(begun.precision)}, as when the run was started."
    try:
        here = _kind_here(prepared, asked)
    except PrecisionError:
        here = ""
    like = f" With workers like this machine it is {in_words(here)}." if here else ""
    return (
        "The network's arithmetic is chosen from the workers when the run starts (--precision "
        f"{asked}).{like}"
    )


def _kind_here(prepared: Prepared, asked: str) -> str:
    """Returns the kind that the run would have if all workers were like this machine."""
    if is_kind(asked):
        return asked
    return decide(asked, [offer_here()], prepared.card.differences).kind
