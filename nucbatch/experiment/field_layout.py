"""Layout of the fields of a well: rectangles on the stage, which of them overlap, and the area they cover.

Positions are in micrometres, y down and x to the right. Only fields of one well and one time point are
compared, because stage positions are comparable within a well alone.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import not_
from statistics import median

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from nucbatch.core.plate import Field
from nucbatch.core.rows import Rows

TOUCHING = 0.01
"""Fields that share a strip narrower than this fraction of their side only touch: stages round positions."""

_SAME_PLACE = 0.1
"""Images that lie within this fraction of their side are pictures of one place."""

FARTHEST_UM = 1e8
"""No stage reaches 100 m; positions beyond are damaged, and arithmetic with them loses the field's size."""

WellTime = tuple[str, int]
"""Name of a well, and time point from 0."""


@dataclass(frozen=True, slots=True)
class FieldRectangle:
    """Rectangle of a field on the stage, in micrometres, half open.

    ``key``: the field's key. ``pixel_um``: side of a pixel.
    """

    key: str
    top: float
    left: float
    bottom: float
    right: float
    pixel_um: float

    @classmethod
    def of(cls, field: Field) -> FieldRectangle | None:
        """Returns the rectangle of a field; None without a usable stage position or a pixel size."""
        return cls._at(field, field.position_um)

    @classmethod
    def on_stage(cls, field: Field) -> FieldRectangle | None:
        """As :meth:`of`, also if it is not known which way the stage's axes run in the image.

        By how much fields overlap does not depend on that, except of fields that are not square if the axes
        are exchanged.
        """
        return cls._at(field, field.position_um or field.stage_um)

    @classmethod
    def _at(cls, field: Field, center_um: tuple[float, float] | None) -> FieldRectangle | None:
        if center_um is None or not field.pixel_size_um:
            return None
        if not all(abs(value) <= FARTHEST_UM for value in center_um):
            return None
        return cls.around(field.key, center_um, (field.height_px, field.width_px), field.pixel_size_um)

    @classmethod
    def around(
        cls, key: str, center: tuple[float, float], size_px: tuple[int, int], pixel_um: float
    ) -> FieldRectangle:
        """Returns the rectangle of ``size_px`` (height, width) around a centre (y, x) in micrometres."""
        high, wide = (side * pixel_um / 2 for side in size_px)
        y, x = center
        return cls(key, y - high, x - wide, y + high, x + wide, pixel_um)

    @property
    def center(self) -> tuple[float, float]:
        """Its centre (y, x)."""
        return (self.top + self.bottom) / 2, (self.left + self.right) / 2

    @property
    def area(self) -> float:
        """Its area in µm²."""
        return (self.bottom - self.top) * (self.right - self.left)

    def overlap(self, other: FieldRectangle) -> float:
        """Returns the narrower side of the common strip as a fraction of the field's; 0 if they only touch.

        >>> one = FieldRectangle("1", 0, 0, 350, 350, 1.0)
        >>> round(one.overlap(FieldRectangle("2", 0, 315, 350, 665, 1.0)), 3)
        0.1
        """
        high = min(self.bottom, other.bottom) - max(self.top, other.top)
        wide = min(self.right, other.right) - max(self.left, other.left)
        down = high / min(self.bottom - self.top, other.bottom - other.top)
        across = wide / min(self.right - self.left, other.right - other.left)
        fraction = min(down, across)
        return fraction if fraction >= TOUCHING else 0.0


def placed_fields(
    fields: Iterable[Field], rectangle_of: Callable[[Field], FieldRectangle | None] = FieldRectangle.of
) -> dict[WellTime, list[FieldRectangle]]:
    """Returns the rectangles of the usable fields of each well and time point, in the order of the fields.

    Fields without a stage position or a pixel size are left out; so are fields without a well.
    """
    placed: dict[WellTime, list[FieldRectangle]] = defaultdict(list)
    for field in fields:
        rectangle = rectangle_of(field) if field.well and not field.problem else None
        if rectangle is not None:
            placed[field.well, field.t].append(rectangle)
    return dict(placed)


def overlapping_pairs(rectangles: Sequence[FieldRectangle]) -> Iterator[tuple[int, int, float]]:
    """Yields (i, j, overlap as a fraction) for all i < j that overlap, in this order."""
    sides = np.array([(one.top, one.left, one.bottom, one.right) for one in rectangles]).reshape(-1, 4)
    for i, one in enumerate(rectangles):
        after = sides[i + 1 :]
        near = (after[:, :2] < (one.bottom, one.right)).all(axis=1) & (
            after[:, 2:] > (one.top, one.left)
        ).all(axis=1)
        for j in (np.flatnonzero(near) + i + 1).tolist():
            if fraction := one.overlap(rectangles[j]):
                yield i, j, fraction


def adjoining_pairs(rectangles: Sequence[FieldRectangle]) -> Iterator[tuple[int, int, int]]:
    """Yields (i, j, axis) for all i < j that share an edge without overlapping.

    Axis 0: the fields lie below one another; axis 1: side by side.
    """
    if len(rectangles) < 2:
        return
    sides = np.array([(one.top, one.left, one.bottom, one.right) for one in rectangles])
    size = sides[:, 2:] - sides[:, :2]
    for i in range(len(rectangles) - 1):
        common = np.minimum(sides[i, 2:], sides[i + 1 :, 2:]) - np.maximum(sides[i, :2], sides[i + 1 :, :2])
        share = common / np.minimum(size[i], size[i + 1 :])
        narrow, wide = share.min(axis=1), share.max(axis=1)
        for at in np.flatnonzero((abs(narrow) < TOUCHING) & (wide >= TOUCHING)).tolist():
            yield i, i + 1 + at, int(share[at].argmin())


def overlap_of(fields: Iterable[Field]) -> float | None:
    """Returns by which fraction of their side neighbouring fields of a well overlap.

    It is the median over all overlapping pairs, for example 0.1; 0.0 if no fields overlap; None if no well
    has two fields whose stage positions and pixel sizes are known. Which way the stage's axes run in the
    images need not be known.
    """
    wells: Mapping[WellTime, list[FieldRectangle]] = placed_fields(fields, FieldRectangle.on_stage)
    several = [rectangles for rectangles in wells.values() if len(rectangles) > 1]
    if not several:
        return None
    return median([fraction for well in several for _, _, fraction in overlapping_pairs(well)] or [0.0])


def no_pixel_size(fields: Rows[Field]) -> str:
    """Returns a warning if wells have several fields with positions, but no pixel size is known for them."""
    unknown = fields.where("pixel_size_um", not_).where("well", bool)
    several = False
    for name in ("position_um", "stage_um"):
        placed = unknown.where(name, bool)
        wells = Counter(zip(placed.values("well"), placed.values("t"), strict=True))
        several |= any(count > 1 for count in wells.values())
    if not several:
        return ""
    return (
        "Stage positions are known, but no pixel size: nuclei in several overlapping fields count in each. "
        "Give the size of a pixel in micrometres with --pixel-size."
    )


def fields_apart(fields: Iterable[Field], given_um: float | None) -> str:
    """Returns a warning if a pixel size that the user gives leaves gaps between the fields of all wells.

    A pixel size that is too small hides that fields overlap, and their nuclei then count several times.
    """
    if given_um is None:
        return ""
    fields = list(fields)
    if overlap_of(fields) != 0.0:
        return ""
    steps = []
    for rectangles in placed_fields(fields, FieldRectangle.on_stage).values():
        if len(rectangles) > 1:
            sides = [min(one.bottom - one.top, one.right - one.left) for one in rectangles]
            nearest = cKDTree([one.center for one in rectangles]).query(
                [one.center for one in rectangles], k=2, p=np.inf
            )
            steps += (nearest[0][:, 1] / sides).tolist()
    step = median(steps)
    if step <= 1 + TOUCHING:
        return ""
    return (
        f"With a pixel size of {given_um:g} µm, gaps of {100 * (step - 1):.0f} % of their side lie between "
        f"the fields of a well; they would touch at {given_um * step:.3g} µm. If the fields overlap in "
        "truth, this pixel size is too small, and nuclei in the overlaps count several times."
    )


def covered_um2(rectangles: Sequence[FieldRectangle]) -> float:
    """Returns the area of the union of rectangles, in µm²: parts in several of them count once."""
    sides = np.array([(one.top, one.left, one.bottom, one.right) for one in rectangles]).reshape(-1, 4)
    sides = sides[np.argsort(sides[:, 1], kind="stable")]
    edges = np.unique(sides[:, [0, 2]])
    return float(
        sum(
            (lower - upper) * _covered_length(sides[(sides[:, 0] <= upper) & (sides[:, 2] >= lower)])
            for upper, lower in pairwise(edges.tolist())
        )
    )


def _covered_length(sides: npt.NDArray[np.float64]) -> float:
    """Length of the union of x-intervals of rectangles (N, 4), which are sorted by their left side."""
    if not len(sides):
        return 0.0
    left, right = sides[:, 1], np.maximum.accumulate(sides[:, 3])
    gaps = np.maximum(left[1:] - right[:-1], 0.0)
    return float(right[-1] - left[0] - gaps.sum())


def repeats_outside_wells(fields: Rows[Field]) -> str:
    """Returns a warning if images of no well overlap by their stage positions: each of them counts by itself.

    Images at one and the same place are taken for different specimens.
    """
    loose = fields.where("well", not_).where("pixel_size_um", bool).where("t", not_)
    if not any(loose.values("stage_um")) and not any(loose.values("position_um")):
        return ""
    placed = [one for one in map(FieldRectangle.on_stage, loose) if one is not None]
    if len(placed) < 2:
        return ""
    centers = np.array([one.center for one in placed])
    sides = np.array([min(one.bottom - one.top, one.right - one.left) for one in placed])
    distances, _ = cKDTree(centers).query(centers, k=2, p=np.inf)
    steps = distances[:, 1] / sides
    several = int(((steps > _SAME_PLACE) & (steps < 1 - TOUCHING)).sum())
    if 2 * several < len(placed):
        return ""
    return (
        f"By their stage positions {several:,} of {len(placed):,} images overlap with another one. Images "
        "outside a plate count by themselves, so nuclei in several of them count in each. If they are tiles "
        "of one specimen, stitch them, or give them a well in a --pattern or a manifest."
    )
