"""Forecast of the network's computing time, measured before anything is submitted.

Times the network on one tile of the run's most common shape, and multiplies by the number of tiles.
"""

from __future__ import annotations

import time
from collections import Counter

import numpy as np

from nucbatch.execution.prepared import Prepared
from nucbatch.inference.device import CpuDevice
from nucbatch.networks.checkpoint import load_weights
from nucbatch.store.kept_maps import BYTES_PER_VALUE


def kept_bytes(prepared: Prepared, *, of_fields: bool) -> int:
    """Estimates the size on disk of the probabilities that the plan keeps.

    Args:
        prepared: the run.
        of_fields: whether those of fields of one block are kept; those of large images always are.
    """
    plan, zoom = prepared.plan, prepared.scale.largest_zoom
    pixels = sum(
        field.height_px * field.width_px for field in plan.selected if of_fields or plan.is_large(field)
    )
    return round(pixels * zoom**2 * len(prepared.card.outputs) * BYTES_PER_VALUE)


def core_seconds(prepared: Prepared) -> float:
    """Estimates the network's time for the whole plan on one core of this machine, in seconds.

    For fp16, which needs a GPU, estimates fp32, because only the workers may have a GPU.

    Raises:
        WeightsError: the model can't be read.
    """
    shapes = Counter((field.height_px, field.width_px) for field in prepared.plan.selected)
    if not shapes:
        return 0.0
    windows: Counter[tuple[int, int]] = Counter()
    zoom = prepared.scale.largest_zoom
    for (height, width), fields in shapes.items():
        seen = max(1, round(height * zoom)), max(1, round(width * zoom))
        for tile in prepared.grid.tiles(*seen):
            windows[tile.window.shape] += fields
    most, _ = max(windows.items(), key=lambda item: item[1] * item[0][0] * item[0][1])
    asked = prepared.plan.settings.precision
    device = CpuDevice(load_weights(prepared.weights)[0], "fp32" if asked == "fp16" else asked)
    for _ in range(2):  # the first call is a warm-up
        began = time.perf_counter()
        device.begin([np.zeros((3, *most), np.float32)])
        seconds = time.perf_counter() - began
    pixels = sum(height * width * times for (height, width), times in windows.items())
    return seconds * pixels / (most[0] * most[1])
