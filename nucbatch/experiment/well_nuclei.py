"""Reads the table of nuclei one well at a time, and computes each well's statistics.

The whole plate is never in memory. This works because the table follows the order of the fields, which keeps
a well together; a well that is scattered in it is an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nucbatch.core.errors import StoreError
from nucbatch.experiment.well_fields import TIME, WELL, Key

STATISTICS = ("Mean_", "Median_", "StDev_")
_COUNTED = "Metadata_Counted"
_AREA, _PIXEL = "Nuclei_AreaShape_Area", "Metadata_PixelSize_um"
_TOGETHER = 32  # measurements

Well = tuple[str, str]  # plate, name


def groups(table: pq.ParquetFile, measured: list[str]) -> Iterator[tuple[Key, int, pa.Table | None]]:
    """Yields each well and time point with its number of rows and its rows, one well in memory at a time.

    A well's time points are scattered among its sites, so they are separated once the well is complete.
    Nuclei without a well can be as many as a whole folder holds, so they are only counted.

    Raises:
        StoreError: a well appears a second time.
    """
    seen: set[Well] = set()
    current: Well | None = None
    parts: list[pa.Table] = []
    alone: Counter[tuple[str, int]] = Counter()  # plate and time point of nuclei without a well
    present = table.schema_arrow.names
    further = [name for name in (_COUNTED, _PIXEL) if name in present]
    for batch in table.iter_batches(columns=[*WELL, TIME, *further, *measured]):
        counted = pa.Table.from_batches([batch])
        if _COUNTED in further:
            counted = counted.filter(counted[_COUNTED])
        for well, rows in _runs(counted):
            if not well[1]:
                times, counts = np.unique(rows[TIME].to_numpy(), return_counts=True)
                alone.update({(well[0], t): n for t, n in zip(times.tolist(), counts.tolist(), strict=True)})
                continue
            if well != current:
                if current is not None:
                    yield from _by_time(current, parts)
                if well in seen:
                    raise StoreError(f"the nuclei of well {well[1]} of {well[0]} are not consecutive.")
                seen.add(well)
                current, parts = well, []
            parts.append(rows)
    if current is not None:
        yield from _by_time(current, parts)
    for (plate, t), number in alone.items():
        yield (plate, "", t), number, None


def _by_time(well: Well, parts: list[pa.Table]) -> Iterator[tuple[Key, int, pa.Table]]:
    """Yields the time points of a well in order, with their rows."""
    plate, name = well
    rows = pa.concat_tables(parts)
    times = rows[TIME].to_numpy()
    for t in np.unique(times).tolist():
        chosen = times == t
        yield (plate, name, t), int(chosen.sum()), rows.filter(pa.array(chosen))


def _runs(rows: pa.Table) -> Iterator[tuple[Well, pa.Table]]:
    """Yields runs of consecutive rows that belong to one well."""
    if rows.num_rows == 0:
        return
    codes = [
        pc.dictionary_encode(rows[name].cast(pa.string()).combine_chunks()).indices.to_numpy()
        for name in WELL
    ]
    changes = np.any([code[1:] != code[:-1] for code in codes], axis=0)
    starts = [0, *(np.flatnonzero(changes) + 1).tolist(), rows.num_rows]
    for begin, end in pairwise(starts):
        plate, well = (str(rows[name][begin].as_py()) for name in WELL)
        yield (plate, well), rows.slice(begin, end - begin)


def statistics(rows: pa.Table, measured: list[str]) -> npt.NDArray[np.float64]:
    """Returns :data:`STATISTICS` of each measurement (M, 3); undefined values are left out.

    NaN where too few values are left: none, or for the sample standard deviation fewer than two.
    """
    figures = np.full((len(measured), 3), np.nan)
    for begin in range(0, len(measured), _TOGETHER):
        values = np.array([_numbers(rows[name]) for name in measured[begin : begin + _TOGETHER]])
        undefined = np.isnan(values)  # (measurements, nuclei)
        whole = ~undefined.any(axis=1)
        for chosen, some in [
            (np.flatnonzero(whole), values[whole]),  # at once, because one by one they take ten times as long
            *((np.array([at]), values[at : at + 1, ~undefined[at]]) for at in np.flatnonzero(~whole)),
        ]:
            figures[begin + chosen] = np.stack(_statistics_of_rows(some), axis=1)
    return figures


def _statistics_of_rows(
    values: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns the mean, median and sample standard deviation of each row (R, N); NaN of too few values."""
    number, count = values.shape
    none = np.full(number, np.nan)
    if not number or not count:
        return none, none, none
    spreads = values.std(axis=1, ddof=1) if count > 1 else none
    return values.mean(axis=1), np.median(values, axis=1), spreads


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """Returns the values of a column, (N,) float64; NaN where one is missing."""
    return np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)


def nuclei_um2(rows: pa.Table) -> float:
    """Returns the area of all nuclei in µm²; NaN where a pixel size is unknown."""
    if _PIXEL not in rows.column_names or _AREA not in rows.column_names:
        return np.nan
    pixel_um = rows[_PIXEL].to_numpy().astype(np.float64)
    return float((rows[_AREA].to_numpy() * pixel_um**2).sum())
