"""Where windows lie: boxes and tiles, in pure integer arithmetic.

The decision owned here: the tile grid is a function of the network's numbers and the image's shape, never
of the schedule. An image that fits one window is one tile; a larger one is cut on a fixed, stride-aligned
grid whose halo covers the receptive field, so that a probability can't depend on how work was divided.
"""

from __future__ import annotations

from dataclasses import dataclass

from nucbatch.errors import InputError


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """A rectangle of pixels, half open: rows ``y0 <= y < y1``, columns ``x0 <= x < x1``."""

    y0: int
    x0: int
    y1: int
    x1: int

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def slices(self) -> tuple[slice, slice]:
        """The box as an index into an array (Y, X)."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def within(self, outer: Box) -> tuple[slice, slice]:
        """The same pixels as an index into an array that begins at ``outer``'s corner."""
        return (
            slice(self.y0 - outer.y0, self.y1 - outer.y0),
            slice(self.x0 - outer.x0, self.x1 - outer.x0),
        )


@dataclass(frozen=True, slots=True)
class Tile:
    """One input window of the network: what it keeps (``core``) and what it sees (``window``).

    Both are in image coordinates. The window may reach over the image's border; what lies outside is
    filled by reflection. Cores cover the image exactly once.
    """

    core: Box
    window: Box


@dataclass(frozen=True, slots=True)
class TileGrid:
    """The numbers of a network that fix its tiles, all in pixels.

    ``stride``: the network's downsampling; windows begin and end at multiples of it.
    ``halo``: context kept around a core, at least the receptive field's radius, a multiple of the stride.
    ``largest``: the longest side of a window.
    """

    stride: int
    halo: int
    largest: int

    def __post_init__(self) -> None:
        if self.halo % self.stride or self.largest % self.stride or self.largest <= 2 * self.halo:
            raise InputError(
                f"tiles of {self.largest} px with a halo of {self.halo} px: both must be multiples of the "
                f"stride, {self.stride} px, and a tile longer than two halos."
            )

    def tiles(self, height_px: int, width_px: int) -> list[Tile]:
        """All tiles of an image in raster order."""
        return [
            Tile(Box(top, left, bottom, right), Box(outer_top, outer_left, outer_bottom, outer_right))
            for top, bottom, outer_top, outer_bottom in self._cuts(height_px)
            for left, right, outer_left, outer_right in self._cuts(width_px)
        ]

    def _cuts(self, length_px: int) -> list[tuple[int, int, int, int]]:
        """(core begin, core end, window begin, window end) along one side."""
        if length_px < 1:
            raise InputError(f"an image side of {length_px} px can't be cut: it must be at least 1 px.")
        padded = -(-length_px // self.stride) * self.stride
        if padded <= self.largest:
            return [(0, length_px, 0, padded)]
        step = self.largest - 2 * self.halo
        return [
            (begin, min(begin + step, length_px), begin - self.halo, begin - self.halo + self.largest)
            for begin in range(0, length_px, step)
        ]


SMALLEST_BLOCK_PX = 128
"""Smaller blocks would spend their time on each other's margins, and could lie inside a nucleus' hole."""


@dataclass(frozen=True, slots=True)
class BlockGrid:
    """An image of (``height_px``, ``width_px``) cut into blocks of ``block_px``², the last ones smaller.

    A block is the unit of scheduling, retry and commit, and has no say in any result.

    Raises:
        InputError: blocks of fewer than SMALLEST_BLOCK_PX.
    """

    height_px: int
    width_px: int
    block_px: int

    def __post_init__(self) -> None:
        if self.block_px < SMALLEST_BLOCK_PX:
            raise InputError(
                f"blocks of {self.block_px} px are too small: give --block-size at least {SMALLEST_BLOCK_PX}."
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of blocks."""
        return -(-self.height_px // self.block_px), -(-self.width_px // self.block_px)

    def box(self, row: int, column: int) -> Box:
        """A block's pixels."""
        top, left = row * self.block_px, column * self.block_px
        bottom, right = top + self.block_px, left + self.block_px
        return Box(top, left, min(bottom, self.height_px), min(right, self.width_px))

    def at(self, y: int, x: int) -> tuple[int, int]:
        """(row, column) of the block that holds a pixel."""
        return y // self.block_px, x // self.block_px

    def touching(self, box: Box) -> tuple[range, range]:
        """The rows and columns of blocks that a box touches."""
        return (
            range(box.y0 // self.block_px, -(-box.y1 // self.block_px)),
            range(box.x0 // self.block_px, -(-box.x1 // self.block_px)),
        )
