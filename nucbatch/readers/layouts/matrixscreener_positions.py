"""Stage positions of MatrixScreener: ``StagePosition`` with ``PositionX`` and ``PositionY`` in metres.

The files do not record how the stage's axes run. They are taken from the grid of fields in the names, whose X
runs right and Y down, where the positions follow it; otherwise positions are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from nucbatch.readers.formats.xml_stream import Element
from nucbatch.readers.listing import Listing

Place = tuple[int, int, int, int]
"""U, V, X and Y of a field."""
Position = tuple[float, float]
"""(y, x) in micrometres."""

_TOLERANCE = 0.25
"""Deviation from the grid that a stage position may have, as a fraction of the spacing of fields."""


def stage_position(listing: Listing, path: str) -> Position | None:
    """Reads the stage position in an ``.ome.xml``, with the stage's own axes; None if it has none.

    Raises:
        UnreadableImage: the file is damaged or does not answer.
    """
    return listing.read_elements(path, {"StagePosition"}, _first_position)


def _first_position(elements: Iterator[Element]) -> Position | None:
    for element in elements:
        values = element.attributes
        try:
            y, x = float(values["PositionY"]) * 1e6, float(values["PositionX"]) * 1e6
        except (KeyError, ValueError):
            continue
        if math.isfinite(x) and math.isfinite(y):
            return y, x
    return None


def on_grid(positions: Mapping[Place, Position]) -> tuple[dict[Place, Position], bool]:
    """Returns the positions with y down and x to the right, and whether they do not follow the grid."""
    first: dict[tuple[int, int], Place] = {}
    moves: list[tuple[tuple[float, int], tuple[float, int]]] = []  # (distance, fields) down and to the right
    for place, (y, x) in sorted(positions.items()):
        start = first.setdefault(place[:2], place)
        moves.append(
            ((y - positions[start][0], place[3] - start[3]), (x - positions[start][1], place[2] - start[2]))
        )
    steps = [_step([move[axis] for move in moves]) for axis in (0, 1)]
    spacing = max(map(abs, steps))
    for move in moves:
        for (distance, fields), step in zip(move, steps, strict=True):
            if abs(distance - step * fields) > _TOLERANCE * spacing or (fields and not step):
                return {}, True
    down, right = (math.copysign(1.0, step) for step in steps)
    return {place: (y * down, x * right) for place, (y, x) in positions.items()}, False


def _step(moves: Sequence[tuple[float, int]]) -> float:
    """Returns the median distance of neighbouring fields along an axis; 0 without any."""
    steps = [distance / fields for distance, fields in moves if fields]
    return median(steps) if steps else 0.0
