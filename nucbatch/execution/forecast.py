"""How long the network alone will take, told before anything is submitted.

The decision owned here: it is measured, not believed. One tile of the kind that the run has most of goes
through the network here; the rest is counting tiles.
"""

from __future__ import annotations

import time
from collections import Counter

import numpy as np

from nucbatch.execution.prepared import Prepared
from nucbatch.inference.device import Cpu
from nucbatch.networks.checkpoint import load_weights


def core_seconds(prepared: Prepared) -> float:
    """Seconds that one core of this machine would spend on the network for everything in the plan.

    In fp16, which is for GPUs, it is told for fp32: workers may have what this machine has not.

    Raises:
        WeightsError: the model can't be read.
    """
    shapes = Counter((field.height_px, field.width_px) for field in prepared.plan.usable)
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
    device = Cpu(load_weights(prepared.weights)[0], "fp32" if asked == "fp16" else asked)
    for _ in range(2):  # the first one also prepares
        began = time.perf_counter()
        device.begin([np.zeros((3, *most), np.float32)])
        seconds = time.perf_counter() - began
    pixels = sum(height * width * times for (height, width), times in windows.items())
    return seconds * pixels / (most[0] * most[1])
