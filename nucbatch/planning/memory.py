"""Projected memory of a block, in bytes, and the refusal of what can't fit, before anything is submitted.

Sums what a task holds at its peak: the planes as read, the normalised image, the network's activations of
one tile, the maps, and the working arrays of object finding and measuring. ``benchmarks/bench_memory.py``
holds the sum against real peaks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from nucbatch.core.errors import MemoryRefused
from nucbatch.core.grey_levels import countable
from nucbatch.core.plate import Field
from nucbatch.core.tiles import SMALLEST_BLOCK_PX, SUPPORT_PX, TileGrid, scaled_shape
from nucbatch.planning.plan import BLOCK_PX, Plan

PROCESS_BYTES = 600 * 2**20
"""A worker before its first block: interpreter, libraries, compiled kernels and weights."""
GPU_PROCESS_BYTES = 700 * 2**20
"""What a process takes of a GPU's memory before its first tile: CUDA's context, libraries and weights."""
_NORMALISED_BYTES_PER_PX = 3 * 4 * 2  # the image and the window cut from it, three float32 channels each
_OBJECT_BYTES_PER_PX = 64  # components, markers, labels, watershed and measuring, in 32 and 64 bits
_SCALED_BYTES_PER_PX = 3 * 4 * 2 + 4 + 2 * 4  # image and window, four maps, two of them in float32
_ACTIVATION_FLOATS_PER_PX_AND_WIDTH = 9  # two levels' worth of maps at the widest point, and freed ones kept


@dataclass(frozen=True, slots=True)
class NetworkSize:
    """What a network's memory grows with: its tiles, its first level's channels, the scale it sees."""

    grid: TileGrid
    width: int
    zoom: float = 1.0


_BLOCK_BYTES_PER_PX = 56  # maps, components, labels and measuring of a block with its margins
_UNIT_PX = 2 * 1088  # the longest side of what is copied, numbered or shrunk at once


def task_bytes(plan: Plan, field: Field, network: NetworkSize) -> int:
    """Projected peak of the largest task of a field, without the process itself."""
    if not plan.is_large(field):
        return block_bytes(field, network)
    return unit_bytes(field, plan.block_px, network)


def unit_bytes(field: Field, block_px: int, network: NetworkSize) -> int:
    """Projected peak of the largest unit of a field that is cut into blocks.

    It grows with neither side: the network's windows end at a fixed length.
    """
    samples = sum(plane.samples for plane in field.planes) * np.dtype(field.dtype).itemsize
    tile = _tile_px((field.height_px, field.width_px), network)
    predicting = tile * (_NORMALISED_BYTES_PER_PX + 4 + samples) + _activations(tile, network)
    if network.zoom != 1:
        predicting += tile * 3 * 4 + round(tile / network.zoom**2) * (3 * 4 + samples)
    view = (block_px + 2 * SUPPORT_PX) ** 2
    finding = view * (_BLOCK_BYTES_PER_PX + samples)
    if network.zoom != 1:
        finding += round(view * network.zoom**2) * 4
    # Beside a unit that finds objects another one may be in the network.
    return max(finding + _activations(tile, network), predicting, _UNIT_PX**2 * (4 * samples + 12))


def block_bytes(field: Field, network: NetworkSize) -> int:
    """Projected peak of one field's task, without the process itself."""
    samples = sum(plane.samples for plane in field.planes)
    return image_bytes((field.height_px, field.width_px), samples, np.dtype(field.dtype), network)


def image_bytes(shape: tuple[int, int], samples: int, dtype: np.dtype[Any], network: NetworkSize) -> int:
    """Projected peak of an image (Y, X) in one piece, ``samples`` values per pixel, without the process."""
    pixels = math.prod(shape)
    planes = pixels * dtype.itemsize * (samples + 2)
    activations = _activations(_tile_px(shape, network), network)
    scaled = 0 if network.zoom == 1 else math.prod(scaled_shape(shape, network.zoom)) * _SCALED_BYTES_PER_PX
    return planes + pixels * (_NORMALISED_BYTES_PER_PX + _OBJECT_BYTES_PER_PX) + scaled + activations


def largest_block(plan: Plan, network: NetworkSize) -> tuple[Field | None, int]:
    """The field whose task takes most, and :func:`task_bytes` of it; None and 0 where none is usable."""
    sizes = ((task_bytes(plan, field, network), field) for field in plan.usable)
    one, field = max(sizes, key=lambda size: size[0], default=(0, None))
    return field, one


def gpu_bytes(plan: Plan, network: NetworkSize, batch_px: int) -> int:
    """What a process takes of a GPU's memory, which gets as many tiles at once as ``batch_px`` has pixels."""
    shapes = {(field.height_px, field.width_px) for field in plan.usable}
    largest_px = max((_tile_px(shape, network) for shape in shapes), default=0)
    halved = 1 if plan.settings.precision == "fp32" else 2
    return GPU_PROCESS_BYTES + _activations(max(batch_px, largest_px), network) // halved


def require_fit(plan: Plan, network: NetworkSize, worker_bytes: int) -> None:
    """Refuses a plan whose largest block does not fit in a worker of ``worker_bytes``.

    Raises:
        MemoryRefused: it does not; the message has both numbers.
    """
    field, one = largest_block(plan, network)
    if field is not None and PROCESS_BYTES + one > worker_bytes:
        raise MemoryRefused(
            f"{field.name} ({field.height_px} × {field.width_px} px) needs "
            f"{gib(PROCESS_BYTES + one)} in one worker, which has {gib(worker_bytes)}. "
            f"{_mend(plan, field)}Use fewer workers (--workers) on this machine, or one with more memory."
        )


def _mend(plan: Plan, field: Field) -> str:
    """What a smaller block would do."""
    if plan.is_large(field):
        smaller = max(SMALLEST_BLOCK_PX, plan.block_px // 2)
        return f"Use smaller blocks (--block-size {smaller}; now {plan.block_px}). "
    if not countable(field.dtype):
        return (
            f"Images of {field.dtype} are not cut into blocks: convert it to 8 or 16 bits, and it will be. "
        )
    return f"Cut it into blocks (--block-size {BLOCK_PX}). "


def _activations(tile_px: int, network: NetworkSize) -> int:
    """Bytes of the network's own maps for a tile of so many pixels."""
    return tile_px * 4 * network.width * _ACTIVATION_FLOATS_PER_PX_AND_WIDTH


def _tile_px(shape: tuple[int, int], network: NetworkSize) -> int:
    """Pixels of one of the windows that an image (Y, X) is cut into."""
    return math.prod(network.grid.window_px(side) for side in scaled_shape(shape, network.zoom))


def gib(count: int) -> str:
    """So many bytes as a reader wants them."""
    return f"{count / 2**30:.1f} GiB"
