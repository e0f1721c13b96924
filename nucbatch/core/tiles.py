"""Boxes, tiles and blocks in integer arithmetic.

The tile grid is a function of the network's parameters and the image's shape, never of the schedule. An
image that fits one window is one tile. A larger image is cut on a fixed, stride-aligned grid with a halo that
covers the receptive field. A probability therefore cannot depend on how the work was divided.
"""

from __future__ import annotations

from dataclasses import dataclass

from nucbatch.core.errors import InputError

GPU_BATCH_PX = 2**20
"""Pixels of the batch of tiles that a GPU gets, enough to use it fully."""


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """Half-open rectangle of pixels: rows ``y0 <= y < y1``, columns ``x0 <= x < x1``.

    >>> Box(0, 0, 4, 6).clipped(Box(2, 3, 9, 9))
    Box(y0=2, x0=3, y1=4, x1=6)
    """

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
        """Index of the box in an array (Y, X)."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def clipped(self, to: Box) -> Box:
        """Returns the intersection with ``to``; it has no pixels if the boxes do not overlap."""
        y0, x0 = max(self.y0, to.y0), max(self.x0, to.x0)
        return Box(y0, x0, max(y0, min(self.y1, to.y1)), max(x0, min(self.x1, to.x1)))

    def shifted(self, down: int, right: int) -> Box:
        """Returns the box moved by (``down``, ``right``) pixels."""
        return Box(self.y0 + down, self.x0 + right, self.y1 + down, self.x1 + right)

    def within(self, outer: Box) -> tuple[slice, slice]:
        """Returns the index of the box in an array (Y, X) that begins at ``outer``'s corner."""
        return (
            slice(self.y0 - outer.y0, self.y1 - outer.y0),
            slice(self.x0 - outer.x0, self.x1 - outer.x0),
        )


@dataclass(frozen=True, slots=True)
class Tile:
    """Input window of the network and its core, the part whose outputs are kept.

    Both are in image coordinates. A window may extend beyond the image; pixels outside are filled by
    reflection. The cores cover the image exactly once.
    """

    core: Box
    window: Box


@dataclass(frozen=True, slots=True)
class TileGrid:
    """Tile geometry of a network, in pixels.

    >>> grid = TileGrid(stride=8, halo=16, largest=64, whole=64)
    >>> grid.cuts(64)
    [(0, 64, 0, 64)]
    >>> grid.cuts(70)
    [(0, 24, -16, 40), (24, 48, 8, 64), (48, 70, 32, 88)]

    Args:
        stride: downsampling factor of the network; window borders are multiples of it.
        halo: context around a core; a multiple of the stride, at least the receptive field's radius.
        largest: longest side of a window in an image that is cut.
        whole: longest side of an image that is not cut; at least ``largest``.

    Raises:
        InputError: a length is not a multiple of the stride, or the lengths are inconsistent.
    """

    stride: int
    halo: int
    largest: int
    whole: int

    def __post_init__(self) -> None:
        aligned = not any(side % self.stride for side in (self.halo, self.largest, self.whole))
        if not aligned or not 2 * self.halo < self.largest <= self.whole:
            raise InputError(
                f"tiles of {self.largest} px, uncut images up to {self.whole} px and a halo of {self.halo} "
                f"px are inconsistent: all must be multiples of the stride, {self.stride} px, a tile must be "
                "longer than two halos, and uncut images at least as long as a tile."
            )

    def tiles(self, height_px: int, width_px: int) -> list[Tile]:
        """Lists all tiles of an image in raster order."""
        return [
            Tile(Box(top, left, bottom, right), Box(outer_top, outer_left, outer_bottom, outer_right))
            for top, bottom, outer_top, outer_bottom in self.cuts(height_px)
            for left, right, outer_left, outer_right in self.cuts(width_px)
        ]

    def cuts(self, length_px: int) -> list[tuple[int, int, int, int]]:
        """Lists (core begin, core end, window begin, window end) in pixels for each tile along one side.

        Raises:
            InputError: a side below 1 px.
        """
        if length_px < 1:
            raise InputError(f"an image side of {length_px} px can't be cut: it must be at least 1 px.")
        step = self.step(length_px)
        if step >= length_px:
            return [(0, length_px, 0, step)]
        return [
            (begin, min(begin + step, length_px), begin - self.halo, begin + step + self.halo)
            for begin in range(0, length_px, step)
        ]

    def window_px(self, length_px: int) -> int:
        """Returns the length of the windows along a side of this length."""
        _, _, begin, end = self.cuts(length_px)[0]
        return end - begin

    def step(self, length_px: int) -> int:
        """Returns the distance between cores along a side: the fewest tiles of the most even length."""
        padded = -(-length_px // self.stride) * self.stride
        if padded <= self.whole:
            return padded
        tiles = -(-length_px // (self.largest - 2 * self.halo))
        return -(-length_px // (tiles * self.stride)) * self.stride


def scaled_shape(image_shape: tuple[int, int], zoom: float) -> tuple[int, int]:
    """Returns (height, width) in pixels of an image resized by ``zoom``; at least 1 px each."""
    height, width = image_shape
    return max(1, round(height * zoom)), max(1, round(width * zoom))


LARGEST_PART_PX = 256
"""A foreground component that spans at most this is split as a whole."""
GROWTH_PX = 48
"""Distance that nuclei grow back over the foreground of a larger component."""
SUPPORT_PX = LARGEST_PART_PX + 3 * GROWTH_PX + 8
"""Radius of influence on a pixel's label: one part, three times the growth (an object, its competitor, and
the competitor's competitor), and a few pixels of outline (:mod:`nucbatch.masks.parts`)."""

SMALLEST_BLOCK_PX = 128
"""Smallest allowed block. Smaller ones would mostly compute margins and could lie inside a nucleus' hole."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Division of an image into rectangles of equal size; those at the lower and right border may be smaller.

    Attributes:
        height_px: height of the image.
        width_px: width of the image.
        tall_px: height of a rectangle.
        wide_px: width of a rectangle.
    """

    height_px: int
    width_px: int
    tall_px: int
    wide_px: int

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rectangles: (rows, columns)."""
        return -(-self.height_px // self.tall_px), -(-self.width_px // self.wide_px)

    def box(self, row: int, column: int) -> Box:
        """Returns the pixels of one rectangle."""
        top, left = row * self.tall_px, column * self.wide_px
        bottom, right = top + self.tall_px, left + self.wide_px
        return Box(top, left, min(bottom, self.height_px), min(right, self.width_px))

    def at(self, y: int, x: int) -> tuple[int, int]:
        """Returns (row, column) of the rectangle that holds a pixel."""
        return y // self.tall_px, x // self.wide_px

    def touching(self, box: Box) -> tuple[range, range]:
        """Returns the rows and columns of the rectangles that overlap a box."""
        return (
            range(box.y0 // self.tall_px, -(-box.y1 // self.tall_px)),
            range(box.x0 // self.wide_px, -(-box.x1 // self.wide_px)),
        )


def block_grid(shape: tuple[int, int], block_px: int) -> Grid:
    """Divides an image (Y, X) into blocks, the units of scheduling, retry and commit.

    No result depends on the block size.

    Raises:
        InputError: ``block_px`` is below SMALLEST_BLOCK_PX.
    """
    if block_px < SMALLEST_BLOCK_PX:
        raise InputError(
            f"blocks of {block_px} px are too small: give --block-size at least {SMALLEST_BLOCK_PX}."
        )
    return Grid(*shape, block_px, block_px)
