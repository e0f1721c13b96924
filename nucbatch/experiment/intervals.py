"""Intervals of the number of nuclei in each field and well, from the confidences of their objects.

Fields of one well share a part of their error, because they share stain, density and kind of cell. So the
width of a well's interval lies between that of independent errors, which partly cancel, and the sum of its
fields' widths.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from nucbatch.core.calibration import IntervalModel
from nucbatch.core.plate import Field

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
    """Smallest and largest true number of nuclei, by the field's key, and by well and time point."""

    fields: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    wells: Mapping[tuple[str, int], tuple[int, int]] = field(default_factory=dict)


def intervals_of(
    nuclei: Path, model: IntervalModel, done: Sequence[Field], counts: Mapping[str, int]
) -> Intervals:
    """Returns the intervals of all fields that are done, and of their wells.

    Args:
        nuclei: the run's ``nuclei.parquet``.
        model: from the model's card.
        done: the fields.
        counts: number of nuclei of each, by its key.
    """
    doubts = doubts_of(nuclei)
    if doubts is None:
        return Intervals()
    spans = field_spans(model, {(one.group, one.t): counts[one.key] for one in done}, doubts)
    of_well: dict[tuple[str, int], list[Span]] = {}
    for one in done:
        of_well.setdefault((one.well, one.t), []).append(spans[one.group, one.t])
    return Intervals(
        {one.key: spans[one.group, one.t].ends for one in done},
        {place: joint_span(model, held).ends for place, held in of_well.items()},
    )


def doubts_of(nuclei: Path) -> dict[Place, Doubt] | None:
    """Adds up the doubts of each field's nuclei; None if the table has no confidences.

    Args:
        nuclei: the run's ``nuclei.parquet``.
    """
    with pq.ParquetFile(nuclei) as table:
        present = table.schema_arrow.names
        if CONFIDENCE not in present:
            return None
        found: dict[Place, Doubt] = {}
        wanted = [name for name in (_IMAGE, _TIME, CONFIDENCE, _BORDER, _COUNTED, _REASON) if name in present]
        for batch in table.iter_batches(columns=wanted):
            _add(found, {name: batch[name].to_numpy(zero_copy_only=False) for name in wanted})
    return found


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
    count = np.array(list(counts.values()), np.float64)
    centre, half = model.spans(
        count, np.array([one.doubt for one in known]), np.array([one.at_border for one in known])
    )
    centre = centre + np.array([one.left_out for one in known])
    return {
        place: Span(number, float(middle), float(width))
        for (place, number), middle, width in zip(counts.items(), centre, half, strict=True)
    }


def joint_span(model: IntervalModel, spans: Iterable[Span]) -> Span:
    """Returns the interval of the sum of several fields' counts."""
    fields = list(spans)
    halves = np.array([one.half for one in fields])
    half = np.sqrt(model.shared * halves.sum() ** 2 + (1 - model.shared) * (halves**2).sum())
    return Span(sum(one.count for one in fields), sum(one.centre for one in fields), float(half))


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
