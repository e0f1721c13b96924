"""From nuclei to wells: one row per well and time point, with what was counted, what failed and why.

A count is a number only where a field of that well and time point was usable. Zero nuclei is 0; where every
field failed there is no count, and the row says why; fields without a well make no row. Time points are never
pooled: the same nucleus is in each of them.

Nuclei are read one well at a time, never the whole plate, which works because the table of nuclei is in the
order of the fields and that order keeps a well together. Where it does not, or where a well's rows are not as
many as its fields say, nuclei were lost: that is an error, never a smaller count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nucbatch.core.errors import InputNotFound, StoreError
from nucbatch.core.plate import row_index, split_well

Well = tuple[str, str]  # plate, name
Key = tuple[str, str, int]  # plate, name, time point from 0
_WELL = ["Metadata_Plate", "Metadata_Well"]
_TIME = "Metadata_Time"
_OF_FIELD = {*_WELL, _TIME, "Metadata_Site", "Metadata_Image"}
_PREFIX = "Nuclei_"


def by_well(nuclei: str | Path, fields: pd.DataFrame) -> pd.DataFrame:
    """One row per well and time point, by plate, row-major, then time: counts, failures, statistics.

    Args:
        nuclei: the run's ``nuclei.parquet``, in the order of the fields.
        fields: the run's ``fields.parquet`` as a table: Metadata_Plate, Metadata_Well, Metadata_Time, Status
            ("done", or else the field failed), Count_Nuclei (missing where failed), Reason, Flags.

    Returns:
        Metadata_Plate, Metadata_Well, Metadata_Time (int64, from 0); the other Metadata_ columns of the
        fields, missing where a well's fields differ; Count_Nuclei (Int64, missing where no
        field was usable); Fields_Total, Fields_Done, Fields_Failed (int64); Reason (the failed fields'
        reasons, each once, joined by "; "); Flags (the fields' flags, each once with its number of fields, as
        "absent-pixels (2)", joined by "; "); Count_Nuclei_PerField_Mean (over usable fields); then for every
        measurement Mean_, Median_ and StDev_ (sample, missing below two nuclei), float64, undefined values
        left out, missing where there is no value.

    Raises:
        InputNotFound: there is no such table of nuclei.
        StoreError: the table's wells are scattered, unknown, or not as populous as the fields say.
    """
    path = Path(nuclei)
    if not path.is_file():
        raise InputNotFound(f"{path} does not exist: it is written when a run ends. Finish the run first.")
    wells = _wells(fields)
    with pq.ParquetFile(path) as table:
        measured = [name for name in table.schema_arrow.names if name.startswith(_PREFIX)]
        for key, count, rows in _groups(table, measured):
            if key not in wells:
                raise StoreError(f"{path} has nuclei of {_told(key)}, but no field has.")
            well = wells[key]
            if count != well["nuclei"]:
                raise StoreError(
                    f"{path} has {count} nuclei of {_told(key)}, its fields count "
                    f"{well['nuclei']}: the tables are not of one run. Run the same command again."
                )
            well["found"] = True
            if rows is not None:
                well["statistics"] = _statistics(rows, measured)
    for key, well in wells.items():
        if well["nuclei"] and not well["found"]:
            raise StoreError(
                f"{path} has no nuclei of {_told(key)}, its fields count "
                f"{well['nuclei']}: the tables are not of one run. Run the same command again."
            )
    return _with_metadata(_frame(wells, measured), fields)


def _told(key: Key) -> str:
    plate, name, t = key
    return f"well {name or '(none)'} of {plate}" + (f" at time point {t}" if t else "")


def _wells(fields: pd.DataFrame) -> dict[Key, dict[str, Any]]:
    """What the fields say of each well and time point, in plate order; those without a well come last."""
    wells: dict[Key, dict[str, Any]] = {}
    columns = [*_WELL, _TIME, "Status", "Count_Nuclei", "Reason", "Flags"]
    for plate, name, t, status, count, reason, flags in fields[columns].itertuples(index=False, name=None):
        well = wells.setdefault(
            (plate, name, int(t)),
            {"nuclei": 0, "done": 0, "failed": 0, "reasons": {}, "flags": Counter(), "found": False},
        )
        well["flags"].update(filter(None, flags.split("; ")))
        if status == "done":
            well["done"] += 1
            well["nuclei"] += int(count)
        else:
            well["failed"] += 1
            well["reasons"][str(reason)] = None
    return dict(sorted(wells.items(), key=lambda item: _place(item[0])))


def _place(key: Key) -> tuple[str, bool, int, int, int]:
    plate, name, t = key
    if not name:
        return plate, True, 0, 0, t
    row, column = split_well(name)
    return plate, False, row_index(row), column, t


def _groups(table: pq.ParquetFile, measured: list[str]) -> Iterator[tuple[Key, int, pa.Table | None]]:
    """Each well and time point with its number of rows and the rows, one well in memory at a time.

    A well's time points lie scattered among its sites, so they are told apart once the well is complete. Of
    nuclei without a well, which may be as many as a folder of images has, only time points are kept.

    Raises:
        StoreError: a well comes a second time.
    """
    seen: set[Well] = set()
    current: Well | None = None
    parts: list[pa.Table] = []
    for batch in table.iter_batches(columns=[*_WELL, _TIME, *measured]):
        for well, rows in _runs(pa.Table.from_batches([batch])):
            if well != current:
                if current is not None:
                    yield from _by_time(current, parts)
                if well in seen:
                    raise StoreError(
                        f"the nuclei of well {well[1] or '(none)'} of {well[0]} are not together."
                    )
                seen.add(well)
                current, parts = well, []
            parts.append(rows if well[1] else rows.select([_TIME]))
    if current is not None:
        yield from _by_time(current, parts)


def _by_time(well: Well, parts: list[pa.Table]) -> Iterator[tuple[Key, int, pa.Table | None]]:
    """The time points of a well, in order, each with its rows; without a well with their number alone."""
    plate, name = well
    rows = pa.concat_tables(parts)
    times = rows[_TIME].to_numpy()
    for t in np.unique(times).tolist():
        chosen = times == t
        yield (plate, name, t), int(chosen.sum()), rows.filter(pa.array(chosen)) if name else None


def _runs(rows: pa.Table) -> Iterator[tuple[Well, pa.Table]]:
    """Consecutive rows of one well."""
    if rows.num_rows == 0:
        return
    codes = [
        pc.dictionary_encode(rows[name].cast(pa.string()).combine_chunks()).indices.to_numpy()
        for name in _WELL
    ]
    changes = np.any([code[1:] != code[:-1] for code in codes], axis=0)
    starts = [0, *(np.flatnonzero(changes) + 1).tolist(), rows.num_rows]
    for begin, end in pairwise(starts):
        plate, well = (str(rows[name][begin].as_py()) for name in _WELL)
        yield (plate, well), rows.slice(begin, end - begin)


def _statistics(rows: pa.Table, measured: list[str]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name in measured:
        values = _numbers(rows[name])
        figures[f"Mean_{name}"] = float(values.mean()) if len(values) else np.nan
        figures[f"Median_{name}"] = float(np.median(values)) if len(values) else np.nan
        figures[f"StDev_{name}"] = float(values.std(ddof=1)) if len(values) > 1 else np.nan
    return figures


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """The values that are there, as (N,) float64."""
    values = column.cast(pa.float64()).to_numpy()
    return np.asarray(values[~np.isnan(values)], np.float64)


def _frame(wells: dict[Key, dict[str, Any]], measured: list[str]) -> pd.DataFrame:
    named = [(key, well) for key, well in wells.items() if key[1]]
    counts = [well["nuclei"] if well["done"] else None for _, well in named]
    columns: dict[str, Any] = {
        "Metadata_Plate": pd.Series([plate for (plate, _, _), _ in named], dtype="str"),
        "Metadata_Well": pd.Series([name for (_, name, _), _ in named], dtype="str"),
        "Metadata_Time": np.array([t for (_, _, t), _ in named], np.int64),
        "Count_Nuclei": pd.array(counts, dtype="Int64"),
        "Fields_Total": np.array([well["done"] + well["failed"] for _, well in named], np.int64),
        "Fields_Done": np.array([well["done"] for _, well in named], np.int64),
        "Fields_Failed": np.array([well["failed"] for _, well in named], np.int64),
        "Reason": pd.Series(["; ".join(well["reasons"]) for _, well in named], dtype="str"),
        "Flags": pd.Series(
            ["; ".join(f"{flag} ({count})" for flag, count in well["flags"].items()) for _, well in named],
            dtype="str",
        ),
        "Count_Nuclei_PerField_Mean": np.array(
            [well["nuclei"] / well["done"] if well["done"] else np.nan for _, well in named], np.float64
        ),
    }
    for name in measured:
        for statistic in ("Mean_", "Median_", "StDev_"):
            columns[statistic + name] = np.array(
                [well.get("statistics", {}).get(statistic + name, np.nan) for _, well in named], np.float64
            )
    return pd.DataFrame(columns)


def _with_metadata(table: pd.DataFrame, fields: pd.DataFrame) -> pd.DataFrame:
    """The table of wells with what the user's own table says of the wells' fields, where they agree."""
    names = map(str, fields.columns)
    kept = [name for name in names if name.startswith("Metadata_") and name not in _OF_FIELD]
    if not kept:
        return table
    groups = fields.groupby([*_WELL, _TIME])[kept]
    agreed = groups.first().where(groups.nunique(dropna=False) == 1)
    values = agreed.reindex(pd.MultiIndex.from_frame(table[[*_WELL, _TIME]])).reset_index(drop=True)
    place = list(table).index(_TIME) + 1
    return pd.concat([table.iloc[:, :place], values, table.iloc[:, place:]], axis=1)
