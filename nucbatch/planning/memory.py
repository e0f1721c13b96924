"""Projects the peak memory of a block in bytes and refuses plans that do not fit, before submission.

The projection adds everything that a task holds at its peak: the planes as read, the normalised image, the
network's activations for one tile, the maps, and the working arrays of object finding and measuring.
``benchmarks/bench_memory.py`` compares the projection with measured peaks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from nucbatch.core.errors import MemoryRefused
from nucbatch.core.grey_levels import countable
from nucbatch.core.numeric_kind import precision_of
from nucbatch.core.plate import Field
from nucbatch.core.tiles import SMALLEST_BLOCK_PX, SUPPORT_PX, TileGrid, scaled_shape
from nucbatch.planning.plan import BLOCK_PX, Plan

PROCESS_BYTES = 600 * 2**20
"""Memory of a worker before its first block: interpreter, libraries, compiled kernels and weights."""
GPU_PROCESS_BYTES = 700 * 2**20
"""GPU memory of a process before its first tile: CUDA context, libraries and weights."""
_NORMALISED_BYTES_PER_PX = 3 * 4 * 2  # image and window, three float32 channels each
_OBJECT_BYTES_PER_PX = 64  # components, markers, labels, watershed and measuring, in 32 and 64 bits
_SCALED_BYTES_PER_PX = 3 * 4 * 2 + 4 + 2 * 4  # image and window, four maps, two of them in float32
_ACTIVATION_FLOATS_PER_PX_AND_WIDTH = 9  # maps of two levels at the widest point, and cached free memory


@dataclass(frozen=True, slots=True)
class NetworkSize:
    """Properties of a network that determine its memory.

    Attributes:
        grid: tile geometry.
        width: channels of the first level of the U-Net whose maps need as much memory.
        zoom: factor by which images are resized for the network.
        measures: whether images may be reduced by another factor, found in each of them.
    """

    grid: TileGrid
    width: int
    zoom: float = 1.0
    measures: bool = False


_BLOCK_BYTES_PER_PX = 56  # maps, components, labels and measuring of a block with its margins
_SOURCE_PX = 2176**2  # pixels of an image that are read at once to be reduced
_UNIT_PX = 2 * 1088  # longest side of a unit of copying, numbering or downsampling


def task_bytes(plan: Plan, field: Field, network: NetworkSize) -> int:
    """Projects the peak of a field's largest task, without the process itself."""
    if not plan.is_large(field):
        return block_bytes(field, network)
    return unit_bytes(field, plan.block_px, network)


def unit_bytes(field: Field, block_px: int, network: NetworkSize) -> int:
    """Projects the peak of the largest unit of a field that is cut into blocks.

    It does not grow with the image, because the network's windows have a maximum length.
    """
    samples = sum(plane.samples for plane in field.planes) * np.dtype(field.dtype).itemsize
    tile = _tile_px((field.height_px, field.width_px), network)
    predicting = tile * (_NORMALISED_BYTES_PER_PX + 4 + samples) + _activations(tile, network)
    if network.zoom != 1 or network.measures:
        source = _SOURCE_PX if network.measures else min(_SOURCE_PX, round(tile / network.zoom**2))
        predicting += tile * 3 * 4 + source * (3 * 4 + samples)
    view = (block_px + 2 * SUPPORT_PX) ** 2
    finding = view * (_BLOCK_BYTES_PER_PX + samples)
    if network.zoom != 1:
        finding += round(view * network.zoom**2) * 4
    measuring = 0
    if network.measures:  # an image of one tile is measured as a whole
        sides = (min(side, network.grid.whole) for side in (field.height_px, field.width_px))
        measuring = math.prod(sides) * (_NORMALISED_BYTES_PER_PX + _OBJECT_BYTES_PER_PX + samples)
        measuring += _activations(tile, network)
    # While one unit finds objects, another one may be in the network.
    return max(measuring, finding + _activations(tile, network), predicting, _UNIT_PX**2 * (4 * samples + 12))


def block_bytes(field: Field, network: NetworkSize) -> int:
    """Projects the peak of the task of a field in one block, without the process itself."""
    samples = sum(plane.samples for plane in field.planes)
    return image_bytes((field.height_px, field.width_px), samples, np.dtype(field.dtype), network)


def image_bytes(shape: tuple[int, int], samples: int, dtype: np.dtype[Any], network: NetworkSize) -> int:
    """Projects the peak of an uncut image (Y, X) with ``samples`` values per pixel, without the process."""
    pixels = math.prod(shape)
    planes = pixels * dtype.itemsize * (samples + 2)
    activations = _activations(_tile_px(shape, network), network)
    scaled = 0 if network.zoom == 1 else math.prod(scaled_shape(shape, network.zoom)) * _SCALED_BYTES_PER_PX
    return planes + pixels * (_NORMALISED_BYTES_PER_PX + _OBJECT_BYTES_PER_PX) + scaled + activations


def largest_block(plan: Plan, network: NetworkSize) -> tuple[Field | None, int]:
    """Returns the field with the largest task and its :func:`task_bytes`; (None, 0) without fields."""
    # A plate has a few shapes, however many fields.
    fields = plan.selected
    alike: dict[tuple[Any, ...], int] = {}
    samples = fields.of_parts("planes", "samples")
    shapes = zip(*map(fields.values, ("height_px", "width_px", "dtype")), samples, strict=True)
    for place, shape in enumerate(shapes):
        alike.setdefault(shape, place)
    sizes = ((task_bytes(plan, field, network), field) for field in map(fields.__getitem__, alike.values()))
    one, largest = max(sizes, key=lambda size: size[0], default=(0, None))
    return largest, one


def gpu_bytes(plan: Plan, network: NetworkSize, batch_px: int) -> int:
    """Projects the GPU memory of a process.

    Args:
        plan: its selected fields determine the largest tile.
        network: tile geometry and width.
        batch_px: pixels of a batch of tiles; a larger tile is a batch of its own.
    """
    shapes = plan.selected.distinct("height_px", "width_px")
    largest_px = max((_tile_px(shape, network) for shape in shapes), default=0)
    halved = 2 if precision_of(plan.settings.precision) != "fp32" else 1  # auto may become float32
    return GPU_PROCESS_BYTES + _activations(max(batch_px, largest_px), network) // halved


def require_fit(plan: Plan, network: NetworkSize, worker_bytes: int) -> None:
    """Checks that the largest block of a plan fits in a worker.

    Raises:
        MemoryRefused: it does not fit in ``worker_bytes``; the message has both numbers.
    """
    field, one = largest_block(plan, network)
    if field is not None and PROCESS_BYTES + one > worker_bytes:
        raise MemoryRefused(
            f"{field.name} ({field.height_px} × {field.width_px} px) needs "
            f"{gib(PROCESS_BYTES + one)} in one worker, which has {gib(worker_bytes)}. "
            f"{_remedy(plan, field)}Use fewer workers (--workers) on this machine, or one with more memory."
        )


def _remedy(plan: Plan, field: Field) -> str:
    """Suggests a block size for the error message, or says why the image can't be cut."""
    if plan.settings.masks != "network":
        return "An image with a mask made elsewhere is measured whole. "
    if plan.is_large(field):
        smaller = max(SMALLEST_BLOCK_PX, plan.block_px // 2)
        return f"Use smaller blocks (--block-size {smaller}; now {plan.block_px}). "
    if not countable(field.dtype):
        return f"Images of {field.dtype} can't be cut into blocks: convert it to 8 or 16 bits. "
    return f"Cut it into blocks (--block-size {BLOCK_PX}). "


def _activations(tile_px: int, network: NetworkSize) -> int:
    """Projects the bytes of the network's own maps for a tile of ``tile_px`` pixels."""
    return tile_px * 4 * network.width * _ACTIVATION_FLOATS_PER_PX_AND_WIDTH


def _tile_px(shape: tuple[int, int], network: NetworkSize) -> int:
    """Returns the number of pixels of a window of an image (Y, X)."""
    return math.prod(network.grid.window_px(side) for side in scaled_shape(shape, network.zoom))


def gib(count: int) -> str:
    """Formats a number of bytes in GiB."""
    return f"{count / 2**30:.1f} GiB"
