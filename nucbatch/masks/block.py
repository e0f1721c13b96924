"""Finds the nuclei of one block of a large image, exactly as in the whole image.

A block reads maps around itself with a growing margin, until each component that touches its core is whole,
or until everything on which these components can depend (``SUPPORT_PX``) is in view. So all blocks that see
an object compute the same object, and give it the same key: the linear index of its first pixel in the
image. The block whose core holds that pixel owns the object: it alone measures and lists it. Of oversized
objects a block knows its own piece and where the piece continues; :mod:`nucbatch.masks.seams` joins the
pieces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.jit import kernel
from nucbatch.core.settings import ObjectSettings
from nucbatch.core.tiles import SUPPORT_PX, Box
from nucbatch.masks.components import reach, without
from nucbatch.masks.objects import Found, find_in_window, foreground_of
from nucbatch.masks.parts import Open, too_large

_MARGINS_PX = (64, 160, SUPPORT_PX)

Read = Callable[[Box], NDArray[np.uint8]]
"""The maps (outputs, Y, X) uint8 of a box of the image."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The part of an oversized object that lies in a block's core.

    ``label``: in the block. ``key``: linear index in the image of its first pixel. ``area_px``: number of
    pixels. ``box``: (y0, x0, y1, x1) in the image. ``links``: linear indices of pixels of the same object in
    other blocks.
    """

    label: int
    key: int
    area_px: int
    box: tuple[int, int, int, int]
    links: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BlockNuclei:
    """The nuclei of one block.

    ``labels`` (Y, X) uint32: of the core, 1..n. ``keys`` (n,) int64: of each label; -1 for a piece of an
    oversized object. ``owned`` (m,) int64: keys of the objects whose first pixel lies in the core,
    ascending. ``boxes`` (m, 4) int64: y0, x0, y1, x1 of these whole objects in the image, half open.
    ``micronuclei``: number of objects that begin in the core and were left out as micronuclei.
    """

    labels: NDArray[np.uint32]
    keys: NDArray[np.int64]
    owned: NDArray[np.int64]
    boxes: NDArray[np.int64]
    pieces: tuple[Piece, ...]
    micronuclei: int


def nuclei_of_block(
    read: Read, core: Box, shape: tuple[int, int], settings: ObjectSettings, least_nucleus_px: int = 0
) -> BlockNuclei:
    """Finds the nuclei of a block.

    Args:
        read: returns the maps of a box inside the image.
        core: the block, at least 128 px long where it does not end at the image's border.
        shape: (Y, X) of the image.
        settings: as for :func:`nucbatch.masks.objects.find_nuclei`.
        least_nucleus_px: as for :func:`nucbatch.masks.objects.find_in_image`.
    """
    window, found = _whole_in_view(read, core, shape, settings, least_nucleus_px)
    return _of_core(found, core, window, shape[1])


def around(core: Box, margin_px: int, shape: tuple[int, int]) -> Box:
    """Returns a box enlarged by a margin and clipped to the image."""
    return Box(
        max(0, core.y0 - margin_px),
        max(0, core.x0 - margin_px),
        min(shape[0], core.y1 + margin_px),
        min(shape[1], core.x1 + margin_px),
    )


def sides_beyond(window: Box, shape: tuple[int, int]) -> Open:
    """Returns the sides of a window beyond which the image continues."""
    return window.y0 > 0, window.x0 > 0, window.y1 < shape[0], window.x1 < shape[1]


def _whole_in_view(
    read: Read, core: Box, shape: tuple[int, int], settings: ObjectSettings, least_nucleus_px: int
) -> tuple[Box, Found]:
    for margin in _MARGINS_PX:
        window = around(core, margin, shape)
        beyond = sides_beyond(window, shape)
        maps = read(window)
        components = foreground_of(maps, settings)
        large = too_large(components, beyond)
        if not reach(components, large, core.shifted(-window.y0, -window.x0)):
            # Large or cut components neither touch the core nor lie in a hole of one that does.
            components = without(components, large)
            break
    return window, find_in_window(maps, settings, beyond, components, least_nucleus_px)


def _of_core(found: Found, core: Box, window: Box, width: int) -> BlockNuclei:
    """Restricts a window's objects to the core."""
    inner = core.shifted(-window.y0, -window.x0)
    labels, runs = found.labels.ravel(), found.runs
    first, boxes, areas = _facts(
        labels, runs.begin, runs.end, window.shape[1], len(found.oversized), *astuple(inner)
    )
    micronuclei_y, micronuclei_x = np.divmod(found.micronuclei, window.shape[1])
    here = np.flatnonzero(areas)  # labels with pixels in the core, 0 is none of them
    order = here[np.argsort(first[here], kind="stable")]
    local = np.zeros(len(areas), np.uint32)
    local[order] = np.arange(1, len(order) + 1)
    y, x = np.divmod(first, window.shape[1])
    keys = (y + window.y0) * width + (x + window.x0)
    begins_here = _inside(inner, y, x)
    mine = order[begins_here[order] & ~found.oversized[order]]
    return BlockNuclei(
        labels=_renumbered(found, local, inner),
        keys=np.where(found.oversized[order], -1, keys[order]),
        owned=keys[mine],
        boxes=boxes[mine] + np.array([window.y0, window.x0] * 2, np.int64),
        pieces=tuple(
            _piece(found, int(label), int(local[label]), core, window, width)
            for label in order[found.oversized[order]]
        ),
        micronuclei=int(_inside(inner, micronuclei_y, micronuclei_x).sum()),
    )


def _inside(box: Box, y: NDArray[np.int64], x: NDArray[np.int64]) -> NDArray[np.bool_]:
    return (y >= box.y0) & (x >= box.x0) & (y < box.y1) & (x < box.x1)


def _renumbered(found: Found, numbers: NDArray[np.uint32], box: Box) -> NDArray[np.uint32]:
    """Renumbers the labels of a box inside a window by a table (N + 1,)."""
    renumbered = np.zeros(box.shape, np.uint32)
    runs, width = found.runs, found.labels.shape[1]
    _renumber(found.labels.ravel(), runs.begin, runs.end, width, numbers, box.y0, box.x0, renumbered)
    return renumbered


def _piece(found: Found, label: int, local: int, core: Box, window: Box, width: int) -> Piece:
    rows, columns = core.within(window)
    ys, xs = np.nonzero(found.labels[rows, columns] == label)
    ys, xs = ys + core.y0, xs + core.x0
    if found.cores is None:
        raise AssertionError(f"label {label} is a piece of an oversized object, but no cores were kept")
    own = found.cores == label
    links: list[int] = []
    for strip in (
        Box(core.y1, core.x0, min(core.y1 + 1, window.y1), core.x1),
        Box(core.y0, core.x1, core.y1, min(core.x1 + 1, window.x1)),
    ):
        line = own[strip.within(window)].ravel()
        begins = np.flatnonzero(line & ~np.concatenate([[False], line[:-1]]))
        down = strip.shape[1] == 1
        links += [
            (strip.y0 + (at if down else 0)) * width + strip.x0 + (0 if down else at)
            for at in begins.tolist()
        ]
    if not own[rows, columns].any():  # it only grew into this block
        y, x = divmod(int(own.argmax()), window.shape[1])
        links.append((y + window.y0) * width + x + window.x0)
    return Piece(
        local,
        int(ys[0]) * width + int(xs[0]),
        len(ys),
        (int(ys.min()), int(xs.min()), int(ys.max()) + 1, int(xs.max()) + 1),
        tuple(links),
    )


@kernel
def _facts(
    labels: NDArray[np.uint32],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    width: int,
    count: int,
    top: int,
    left: int,
    bottom: int,
    right: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:  # pragma: no cover (compiled)
    """Finds first linear index (count,), bounding box (count, 4) and core pixels (count,) of each label."""
    first = np.full(count, -1, np.int64)
    boxes = np.zeros((count, 4), np.int64)
    areas = np.zeros(count, np.int64)
    y, row = 0, 0
    for run in range(len(begin)):
        while begin[run] >= row + width:
            y, row = y + 1, row + width
        for pixel in range(begin[run], end[run]):
            label, x = labels[pixel], pixel - row
            if first[label] < 0:
                first[label] = pixel
                boxes[label, 0], boxes[label, 1], boxes[label, 3] = y, x, x + 1
            boxes[label, 1] = min(boxes[label, 1], x)
            boxes[label, 2] = y + 1
            boxes[label, 3] = max(boxes[label, 3], x + 1)
            if top <= y < bottom and left <= x < right:
                areas[label] += 1
    return first, boxes, areas


@kernel
def _renumber(
    labels: NDArray[np.uint32],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    width: int,
    numbers: NDArray[np.uint32],
    top: int,
    left: int,
    renumbered: NDArray[np.uint32],
) -> None:  # pragma: no cover (compiled)
    """Writes renumbered labels of a window into an empty box at (``top``, ``left``)."""
    height, across = renumbered.shape
    y, row = 0, 0
    for run in range(len(begin)):
        while begin[run] >= row + width:
            y, row = y + 1, row + width
        if top <= y < top + height:
            for pixel in range(max(begin[run], row + left), min(end[run], row + left + across)):
                renumbered[y - top, pixel - row - left] = numbers[labels[pixel]]
