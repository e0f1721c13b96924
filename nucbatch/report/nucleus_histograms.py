"""Histograms of nuclei, counted in one pass over the table of nuclei, a part of it in memory at a time.

Limits of the bins come from a sample of the table; nuclei beyond them are counted in the outermost bins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

_WELL = ("Metadata_Plate", "Metadata_Well", "Metadata_Time")
_COUNTED = "Metadata_Counted"
_SAMPLED_PARTS, _SAMPLED_ROWS = 12, 20_000  # parts of the table, and rows of each


@dataclass(frozen=True, slots=True)
class Histogram:
    """Numbers of nuclei (W, B) of each well in equal bins between two limits.

    ``below``, ``above``: nuclei of all wells beyond the limits; they are in the outermost bins.
    """

    name: str
    low: float
    high: float
    counts: NDArray[np.int64]
    below: int
    above: int


def histograms(
    path: Path,
    wells: Sequence[tuple[str, str, int]],
    names: Sequence[str],
    bins: int,
    percentiles: tuple[float, float],
) -> list[Histogram]:
    """Histograms of columns of nuclei.parquet; a column without two different values has none.

    Args:
        path: the table.
        wells: plate, name and time point of each well; nuclei elsewhere are left out.
        names: columns of numbers.
        bins: number of bins.
        percentiles: percentiles of a sample that are the limits.
    """
    limits = {name: _limits(values, percentiles) for name, values in _sample(path, names)}
    limits = {name: ends for name, ends in limits.items() if ends[0] < ends[1]}
    counts = {name: np.zeros((len(wells), bins), np.int64) for name in limits}
    beyond = {name: [0, 0] for name in limits}
    numbers = {well: number for number, well in enumerate(wells)}
    for part in _parts(path, list(limits)):
        places = _places(part, numbers)
        for name, (low, high) in limits.items():
            values = part[name].to_numpy().astype(np.float64)
            good = np.isfinite(values) & (places >= 0)
            values = values[good]
            at = np.clip(((values - low) * (bins / (high - low))).astype(np.int64), 0, bins - 1)
            flat = np.bincount(places[good] * bins + at, minlength=len(wells) * bins)
            counts[name] += flat.reshape(len(wells), bins)
            beyond[name][0] += int((values < low).sum())
            beyond[name][1] += int((values > high).sum())
    return [Histogram(name, *limits[name], counts[name], *beyond[name]) for name in limits]


def measured_columns(path: Path) -> list[str]:
    """Columns of nuclei.parquet that hold measurements."""
    schema = pq.read_schema(path)
    return [
        name
        for name in schema.names
        if not name.startswith("Metadata_")
        and (pa.types.is_floating(schema.field(name).type) or pa.types.is_integer(schema.field(name).type))
    ]


def _limits(values: NDArray[np.float64], percentiles: tuple[float, float]) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0, 0.0
    low, high = np.percentile(known, percentiles)
    return float(low), float(high)


def _sample(path: Path, names: Sequence[str]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yields some values of one column after the other."""
    with pq.ParquetFile(path) as table:
        groups = table.num_row_groups
        parts = np.unique(np.linspace(0, groups - 1, _SAMPLED_PARTS).astype(int)).tolist() if groups else []
        for name in names:
            values = [table.read_row_group(part, [name])[name].to_numpy() for part in parts]
            some = [one[:: -(-max(len(one), 1) // _SAMPLED_ROWS)].astype(np.float64) for one in values]
            yield name, np.concatenate(some) if some else np.zeros(0)


def _places(part: pa.Table, numbers: Mapping[tuple[str, str, int], int]) -> NDArray[np.int64]:
    """The number of each nucleus' well; -1 in a well that has none."""
    if not part.num_rows:
        return np.zeros(0, np.int64)
    columns = [part[name].combine_chunks().dictionary_encode() for name in _WELL]
    values = [column.dictionary.to_pylist() for column in columns]
    sizes = [len(some) for some in values]
    codes = np.ravel_multi_index([column.indices.to_numpy() for column in columns], sizes)
    distinct, of_nuclei = np.unique(codes, return_inverse=True)
    plates, names, times = (at.tolist() for at in np.unravel_index(distinct, sizes))
    wells = [
        (values[0][plate], values[1][name], values[2][t])
        for plate, name, t in zip(plates, names, times, strict=True)
    ]
    return np.array([numbers.get(well, -1) for well in wells], np.int64)[of_nuclei]


def _parts(path: Path, names: Sequence[str]) -> Iterator[pa.Table]:
    """The nuclei that count, part by part."""
    with pq.ParquetFile(path) as table:
        counted = [_COUNTED] if _COUNTED in table.schema_arrow.names else []
        for batch in table.iter_batches(columns=[*_WELL, *counted, *names]):
            rows = pa.Table.from_batches([batch])
            yield rows.filter(rows[_COUNTED]) if counted else rows
