"""Measures how far a network sees and at which steps it may be moved, instead of believing its description.

A NaN in one input pixel reaches every output that depends on it, through whatever weights and activations.
Then two windows of one image must agree where neither sees its own border: that shows what NaN can't, such
as comparisons, noise, or positions that the network knows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nucbatch.core.errors import WeightsError

LARGEST_RADIUS_PX = 448
"""Largest distance that a network may see: twice this and a core must fit in a tile of 2,048 px."""
_SIDES_PX = (256, 512, 1024)
_LARGEST_STRIDE_PX = 256
_PHASES = 16
_TOLERANCE = 1e-3
"""Largest difference of a probability between two windows."""


def measure(network: nn.Module, declared_px: tuple[int, int] | None) -> tuple[int, int]:
    """Returns (stride, receptive radius) of a network in pixels.

    Args:
        network: images (1, 3, H, W) → logits (1, outputs, H, W).
        declared_px: (least, step) of the sides as the description says, a hint.

    Raises:
        WeightsError: no stride works, the network sees too far, or its output depends on where a tile lies.
    """
    reason = ""
    for stride in _candidates(declared_px):
        try:
            _require_running(network, stride)
            radius = _radius(network, stride)
            _require_same_in_tiles(network, stride, radius)
        except _Unsuitable as error:
            reason = reason or str(error)
            continue
        return stride, radius
    raise WeightsError(f"the network can't be used on images of any size: {reason}.")


class _Unsuitable(Exception):
    """A stride does not work; another one may."""


def _require_running(network: nn.Module, stride: int) -> None:
    """Checks that the network runs on sides that are multiples of the stride, with outputs of their size."""
    for times in (1, max(4, 128 // stride)):
        height, width = times * stride, (times + 1) * stride
        found = _run(network, torch.zeros(1, 3, height, width))
        if found.shape[-2:] != (height, width):
            raise _Unsuitable(
                f"its output for {height} × {width} px has {found.shape[-2]} × {found.shape[-1]} px, and "
                "only networks whose output has the image's size are supported"
            )


def _candidates(declared_px: tuple[int, int] | None) -> list[int]:
    powers = [2**exponent for exponent in range(9)]
    if declared_px is None:
        return [power for power in powers if power >= 16]
    least, step = declared_px
    aligned = max(1, math.ceil(least / max(1, step))) * max(1, step)  # every multiple is a valid side
    larger = [power for power in powers if power > step]
    return [side for side in sorted({step, aligned, *larger}) if 1 <= side <= _LARGEST_STRIDE_PX]


def _radius(network: nn.Module, stride: int) -> int:
    for side_px in _SIDES_PX:
        side = math.ceil(side_px / stride) * stride
        middle = side // 2 // stride * stride
        reached = [
            _reached(network, side, middle + phase, axis, max(4, 64 // stride) * stride)
            for phase in _phases(stride)
            for axis in (0, 1)
        ]
        radius = max(distance for distance, _ in reached)
        if not any(touches for _, touches in reached) and radius <= LARGEST_RADIUS_PX:
            return max(1, radius)
        if all(touches for _, touches in reached) and side_px > _SIDES_PX[0]:
            break
    raise WeightsError(
        f"an output pixel of the network depends on pixels more than {LARGEST_RADIUS_PX} px away, maybe on "
        "the whole image (as with instance or group normalisation, or attention). Its results would change "
        "with the tiles, so it is not used."
    )


def _phases(stride: int) -> list[int]:
    """Places within a stride from which a pixel may reach farthest: all, or those near both ends."""
    ends = _PHASES // 2
    return [phase for phase in range(stride) if stride <= _PHASES or phase < ends or phase >= stride - ends]


def _reached(network: nn.Module, side: int, at: int, axis: int, narrow: int) -> tuple[int, bool]:
    """How far a pixel reaches along an axis, and whether it reaches the border.

    The image has ``side`` pixels along the axis and ``narrow`` pixels across it.
    """
    shape = (side, narrow) if axis == 0 else (narrow, side)
    images = torch.full((1, 3, *shape), 0.5)
    place = narrow // 2
    images[..., *((at, place) if axis == 0 else (place, at))] = math.nan
    hit = torch.nonzero(_run(network, images).isnan().any(dim=1)[0].any(dim=1 - axis))[:, 0]
    if not len(hit):
        raise WeightsError(
            "the network's output doesn't depend on its input, or only by comparisons: it can't be measured."
        )
    first, last = int(hit.min()), int(hit.max())
    return max(at - first, last - at), first == 0 or last == side - 1


def _require_same_in_tiles(network: nn.Module, stride: int, radius: int) -> None:
    halo = math.ceil(radius / stride) * stride
    core = max(2, math.ceil(64 / stride)) * stride
    side = core + 2 * halo
    shown = torch.rand(1, 3, side + stride, side + stride, generator=torch.Generator().manual_seed(0))
    inner = slice(halo, side - halo)
    first = _run(network, shown[..., :side, :side])[..., inner, inner]
    second = _run(network, shown[..., stride:, stride:])[..., inner, inner]
    one, two = first[..., stride:, stride:], second[..., : core - stride, : core - stride]
    difference = float((torch.sigmoid(one) - torch.sigmoid(two)).abs().max())
    if not difference <= _TOLERANCE:
        raise _Unsuitable(
            f"its probabilities differ by {difference:.2g} between two tiles that show the same pixels "
            f"within {radius} px, so that results would change with the tiles"
        )


@contextmanager
def one_thread() -> Iterator[None]:
    """Runs small images in one thread and without compiling for each of their sizes, which takes longer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]  # so in torch
            yield
    finally:
        torch.set_num_threads(threads)


def _run(network: nn.Module, images: Tensor) -> Tensor:
    try:
        with torch.inference_mode():
            found: Tensor = network(images)
    except WeightsError:
        raise
    except (RuntimeError, TypeError, ValueError, MemoryError) as error:
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise _Unsuitable(
            f"it fails on {images.shape[-2]} × {images.shape[-1]} px: {lines[-1][:200]}"
        ) from error
    return found
