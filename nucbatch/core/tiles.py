"""Boxes, tiles and blocks, in integer arithmetic.

The tile grid is a function of the network's numbers and of the image's shape, never of the schedule. An
image that fits one window is one tile. A larger one is cut on a fixed grid, aligned to the stride, with a
halo that covers the receptive field. So a probability can't depend on how work was divided.
"""

from __future__ import annotations

from dataclasses import dataclass

from nucbatch.core.errors import InputError


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

    def clipped(self, to: Box) -> Box:
        """The intersection with ``to``; a box without pixels where they don't overlap."""
        y0, x0 = max(self.y0, to.y0), max(self.x0, to.x0)
        return Box(y0, x0, max(y0, min(self.y1, to.y1)), max(x0, min(self.x1, to.x1)))

    def shifted(self, down: int, right: int) -> Box:
        """The box moved by (``down``, ``right``) pixels."""
        return Box(self.y0 + down, self.x0 + right, self.y1 + down, self.x1 + right)

    def within(self, outer: Box) -> tuple[slice, slice]:
        """The same pixels as an index into an array that begins at ``outer``'s corner."""
        return (
            slice(self.y0 - outer.y0, self.y1 - outer.y0),
            slice(self.x0 - outer.x0, self.x1 - outer.x0),
        )


@dataclass(frozen=True, slots=True)
class Tile:
    """One input window of the network, and the ``core`` of it whose outputs are kept.

    Both are in image coordinates. A window may extend beyond the image's border; pixels outside are filled by
    reflection. Cores cover the image exactly once.
    """

    core: Box
    window: Box


@dataclass(frozen=True, slots=True)
class TileGrid:
    """The numbers of a network that determine its tiles, all in pixels.

    ``stride``: the network's downsampling; windows begin and end at multiples of it.
    ``halo``: context kept around a core, at least the receptive field's radius, a multiple of the stride.
    ``largest``: the longest side of a window where an image is cut.
    ``whole``: the longest side that is not cut, at least ``largest``.
    """

    stride: int
    halo: int
    largest: int
    whole: int

    def __post_init__(self) -> None:
        aligned = not any(side % self.stride for side in (self.halo, self.largest, self.whole))
        if not aligned or not 2 * self.halo < self.largest <= self.whole:
            raise InputError(
                f"tiles of {self.largest} px, or {self.whole} px where nothing is cut, with a halo of "
                f"{self.halo} px: all must be multiples of the stride, {self.stride} px, a tile longer than "
                "two halos, and what is not cut at least as long as a tile."
            )

    def tiles(self, height_px: int, width_px: int) -> list[Tile]:
        """All tiles of an image in raster order."""
        return [
            Tile(Box(top, left, bottom, right), Box(outer_top, outer_left, outer_bottom, outer_right))
            for top, bottom, outer_top, outer_bottom in self.cuts(height_px)
            for left, right, outer_left, outer_right in self.cuts(width_px)
        ]

    def cuts(self, length_px: int) -> list[tuple[int, int, int, int]]:
        """(core begin, core end, window begin, window end) along one side, for each tile."""
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
        """Length of the windows along a side."""
        _, _, begin, end = self.cuts(length_px)[0]
        return end - begin

    def step(self, length_px: int) -> int:
        """Distance between cores along a side: the fewest tiles, of the most even length."""
        padded = -(-length_px // self.stride) * self.stride
        if padded <= self.whole:
            return padded
        tiles = -(-length_px // (self.largest - 2 * self.halo))
        return -(-length_px // (tiles * self.stride)) * self.stride


def scaled_shape(image_shape: tuple[int, int], zoom: float) -> tuple[int, int]:
    """(height, width) in pixels of an image enlarged by ``zoom``; at least 1 px each."""
    height, width = image_shape
    return max(1, round(height * zoom)), max(1, round(width * zoom))


LARGEST_PART_PX = 256
"""A component of the foreground that spans at most this is split as a whole."""
GROWTH_PX = 48
"""How far nuclei grow back over the foreground of a larger component."""
SUPPORT_PX = LARGEST_PART_PX + 3 * GROWTH_PX + 8
"""Distance within which all pixels lie that can change a pixel's label: one part, three times the growth (an
object, its competitor, and the competitor's competitor), and a few pixels of outline
(:mod:`nucbatch.masks.parts`)."""

SMALLEST_BLOCK_PX = 128
"""Smaller blocks would mostly compute margins, and could lie inside a nucleus' hole."""


@dataclass(frozen=True, slots=True)
class Grid:
    """An image of (``height_px``, ``width_px``) cut into rectangles of (``tall_px``, ``wide_px``).

    The last row and column of rectangles may be smaller.
    """

    height_px: int
    width_px: int
    tall_px: int
    wide_px: int

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of rectangles."""
        return -(-self.height_px // self.tall_px), -(-self.width_px // self.wide_px)

    def box(self, row: int, column: int) -> Box:
        """The pixels of a rectangle."""
        top, left = row * self.tall_px, column * self.wide_px
        bottom, right = top + self.tall_px, left + self.wide_px
        return Box(top, left, min(bottom, self.height_px), min(right, self.width_px))

    def at(self, y: int, x: int) -> tuple[int, int]:
        """(row, column) of the rectangle that holds a pixel."""
        return y // self.tall_px, x // self.wide_px

    def touching(self, box: Box) -> tuple[range, range]:
        """The rows and columns of rectangles that a box touches."""
        return (
            range(box.y0 // self.tall_px, -(-box.y1 // self.tall_px)),
            range(box.x0 // self.wide_px, -(-box.x1 // self.wide_px)),
        )


def block_grid(shape: tuple[int, int], block_px: int) -> Grid:
    """The blocks of an image (Y, X): the units of scheduling, retry and commit. No result depends on them.

    Raises:
        InputError: blocks of fewer than SMALLEST_BLOCK_PX.
    """
    if block_px < SMALLEST_BLOCK_PX:
        raise InputError(
            f"blocks of {block_px} px are too small: give --block-size at least {SMALLEST_BLOCK_PX}."
        )
    return Grid(*shape, block_px, block_px)
