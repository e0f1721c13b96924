"""Intervals of the number of nuclei in each field and well, from the confidences of their objects.

Fields of one well share a part of their error, because they share stain, density and kind of cell. So the
width of a well's interval lies between that of independent errors, which partly cancel, and the sum of its
fields' widths.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from nucbatch.core.calibration import IntervalModel
from nucbatch.core.errors import StoreError
from nucbatch.core.plate import Field
from nucbatch.core.rows import Rows

CONFIDENCE = "Nuclei_Confidence"
Place = tuple[str, int]
"""An image's group and time point from 0."""

_IMAGE, _TIME, _BORDER = "Metadata_Image", "Metadata_Time", "Metadata_Nuclei_TouchesBorder"
_COUNTED, _REASON, _DOUBTED = "Metadata_Counted", "Metadata_ReasonNotCounted", "min-confidence"


@dataclass(slots=True)
class Doubt:
    """Figures of a field, beside its count, from which the interval of the count follows.

    ``doubt``: sum of 1 - confidence of the nuclei that count. ``at_border``: number of them that touch the
    border. ``left_out``: expected number of nuclei among the objects that are left out for a low confidence.
    """

    doubt: float = 0.0
    at_border: float = 0.0
    left_out: float = 0.0


@dataclass(frozen=True, slots=True)
class Span:
    """A count, and the centre and half the width of its interval."""

    count: int
    centre: float
    half: float

    @property
    def ends(self) -> tuple[int, int]:
        """The smallest and largest whole number in the interval, which always holds the count."""
        low = min(max(0, int(np.ceil(self.centre - self.half))), self.count)
        return low, max(int(np.floor(self.centre + self.half)), self.count)


@dataclass(frozen=True, slots=True)
class Intervals:
    """Smallest and largest true number of nuclei.

    ``low``, ``high``: of each field (N,) int64, in the order of the fields; of length 0 if they are unknown.
    ``wells``: by well and time point; images that are in no well have an empty one.
    """

    low: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    high: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    wells: Mapping[tuple[str, int], tuple[int, int]] = field(default_factory=dict)


def intervals_of(nuclei: Path, model: IntervalModel, done: Rows[Field], counts: Sequence[int]) -> Intervals:
    """Returns the intervals of all fields that are done, and of their wells.

    Args:
        nuclei: the run's ``nuclei.parquet``, in the order of the fields.
        model: from the model's card.
        done: the fields.
        counts: number of nuclei of each.
    """
    doubts = doubts_of(nuclei)
    if doubts is None:
        return Intervals()
    figures = np.zeros((3, len(done)))
    found = next(doubts, None)
    for at, place in enumerate(zip(done.values("group"), done.values("t"), strict=True)):
        if found is not None and found[0] == place:
            figures[:, at] = found[1].doubt, found[1].at_border, found[1].left_out
            found = next(doubts, None)
    if found is not None:
        raise StoreError(
            f"{nuclei} has nuclei of {found[0][0]} out of the order of the fields: the tables are "
            "not of one run. Run the same command again."
        )
    low, high = np.zeros(len(done), np.int64), np.zeros(len(done), np.int64)
    spans = np.zeros((2, len(done)))
    for at, span in enumerate(_spans(model, counts, figures)):
        low[at], high[at] = span.ends
        spans[:, at] = span.centre, span.half
    of_wells: dict[tuple[str, int], array[int]] = {}
    for at, place in enumerate(zip(done.values("well"), done.values("t"), strict=True)):
        of_wells.setdefault(place, array("q")).append(at)
    wells = {
        place: _joint(model, sum(counts[at] for at in held), *spans[:, np.array(held)]).ends
        for place, held in of_wells.items()
    }
    return Intervals(low, high, wells)


def doubts_of(nuclei: Path) -> Iterator[tuple[Place, Doubt]] | None:
    """Adds up the doubts of each field's nuclei; None if the table has no confidences.

    Fields come in the order of the table, without those that have no nuclei.

    Args:
        nuclei: the run's ``nuclei.parquet``.
    """
    with pq.ParquetFile(nuclei) as table:
        present = table.schema_arrow.names
    if CONFIDENCE not in present:
        return None
    wanted = [name for name in (_IMAGE, _TIME, CONFIDENCE, _BORDER, _COUNTED, _REASON) if name in present]
    return _doubts(nuclei, wanted)


def _doubts(nuclei: Path, wanted: list[str]) -> Iterator[tuple[Place, Doubt]]:
    current: tuple[Place, Doubt] | None = None  # a field may go on in the next part of the table
    with pq.ParquetFile(nuclei) as table:
        for batch in table.iter_batches(columns=wanted):
            found = {} if current is None else {current[0]: current[1]}
            _add(found, {name: batch[name].to_numpy(zero_copy_only=False) for name in wanted})
            *whole, current = found.items()
            yield from whole
    if current is not None:
        yield current


def _spans(model: IntervalModel, counts: Sequence[int], figures: npt.NDArray[np.float64]) -> Iterator[Span]:
    """Yields the interval of each field; ``figures`` (3, N) are those of :class:`Doubt`."""
    doubt, at_border, left_out = figures
    centre, half = model.spans(np.array(counts, np.float64), doubt, at_border)
    centre = centre + left_out
    for number, middle, width in zip(counts, centre, half, strict=True):
        yield Span(number, float(middle), float(width))


def field_spans(
    model: IntervalModel, counts: Mapping[Place, int], doubts: Mapping[Place, Doubt]
) -> dict[Place, Span]:
    """Returns the interval of each field.

    Args:
        model: from the model's card.
        counts: number of nuclei of each done field.
        doubts: from :func:`doubts_of`; fields without nuclei may lack.
    """
    none = Doubt()
    known = [doubts.get(place, none) for place in counts]
    figures = np.array([(one.doubt, one.at_border, one.left_out) for one in known]).reshape(-1, 3).T
    return dict(zip(counts, _spans(model, list(counts.values()), figures), strict=True))


def joint_span(model: IntervalModel, spans: Iterable[Span]) -> Span:
    """Returns the interval of the sum of several fields' counts."""
    fields = list(spans)
    centres, halves = np.array([(one.centre, one.half) for one in fields]).reshape(-1, 2).T
    return _joint(model, sum(one.count for one in fields), centres, halves)


def _joint(
    model: IntervalModel, count: int, centres: npt.NDArray[np.float64], halves: npt.NDArray[np.float64]
) -> Span:
    half = np.sqrt(model.shared * halves.sum() ** 2 + (1 - model.shared) * (halves**2).sum())
    return Span(count, sum(map(float, centres)), float(half))


def _add(found: dict[Place, Doubt], columns: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Adds rows of the table, in the order of the table's fields."""
    if not len(columns[_TIME]):
        return
    images, times = columns[_IMAGE].astype(str), columns[_TIME].astype(np.int64)
    starts = np.flatnonzero((images[1:] != images[:-1]) | (times[1:] != times[:-1])) + 1
    confidence = columns[CONFIDENCE].astype(np.float64)
    counted = columns[_COUNTED].astype(bool) if _COUNTED in columns else np.ones(len(times), np.bool_)
    doubted = np.array([_DOUBTED in str(reason) for reason in columns.get(_REASON, [])], np.bool_)
    doubted = doubted if len(doubted) else np.zeros(len(times), np.bool_)
    border = columns[_BORDER].astype(bool)
    for begin, end in zip([0, *starts.tolist()], [*starts.tolist(), len(times)], strict=True):
        place = str(images[begin]), int(times[begin])
        one, rows = found.setdefault(place, Doubt()), slice(begin, end)
        known = counted[rows] & ~np.isnan(confidence[rows])
        one.doubt += float((1 - confidence[rows])[known].sum())
        one.at_border += float((counted[rows] & border[rows]).sum())
        one.left_out += float(confidence[rows][doubted[rows]].sum())
