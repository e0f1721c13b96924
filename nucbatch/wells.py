"""From nuclei to wells: one row per well, with what was counted, what failed and why.

The decision owned here: a well's count is a number only where a field of it was usable. Zero nuclei is 0;
a well whose every field failed has no count, and its row says why; fields without a well make no row.
Nuclei are read well by well, never the whole plate, which works because the nuclei's table is in the order
of the fields and that order keeps a well together. Where it does not, or where the rows of a well are not
as many as its fields say, somebody lost nuclei: that is an error, never a smaller count.
"""

from __future__ import annotations

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

from nucbatch.errors import InputNotFound, StoreError
from nucbatch.plate import row_index, split_well

Key = tuple[str, str]
_KEYS = ["Metadata_Plate", "Metadata_Well"]
_PREFIX = "Nuclei_"


def by_well(nuclei: str | Path, fields: pd.DataFrame) -> pd.DataFrame:
    """One row per well, by plate and then row-major: counts, failures, and statistics of every measurement.

    Args:
        nuclei: the run's ``nuclei.parquet``, in the order of the fields.
        fields: the run's ``fields.parquet`` as a table: Metadata_Plate, Metadata_Well, Status ("done", or
            else the field failed), Count_Nuclei (missing where failed), Reason.

    Returns:
        Metadata_Plate, Metadata_Well; Count_Nuclei (Int64, missing where no field was usable);
        Fields_Total, Fields_Done, Fields_Failed (int64; time points count as fields); Reason (the failed
        fields' reasons, each once, joined by "; "); Count_Nuclei_PerField_Mean (over usable fields); then
        for every measurement Mean_, Median_ and StDev_ (sample, missing below two nuclei), float64,
        undefined values left out, missing where there is no value.

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
        for key, count, rows in _groups(table, [*_KEYS, *measured]):
            if key not in wells:
                raise StoreError(
                    f"{path} has nuclei of well {key[1] or '(none)'} of {key[0]}, but no field has."
                )
            well = wells[key]
            if count != well["nuclei"]:
                raise StoreError(
                    f"{path} has {count} nuclei of well {key[1] or '(none)'} of {key[0]}, its fields count "
                    f"{well['nuclei']}: the tables are not of one run. Run the same command again."
                )
            well["found"] = True
            if rows:
                well["statistics"] = _statistics(pa.concat_tables(rows), measured)
    for (plate, name), well in wells.items():
        if well["nuclei"] and not well["found"]:
            raise StoreError(
                f"{path} has no nuclei of well {name or '(none)'} of {plate}, its fields count "
                f"{well['nuclei']}: the tables are not of one run. Run the same command again."
            )
    return _frame(wells, measured)


def _wells(fields: pd.DataFrame) -> dict[Key, dict[str, Any]]:
    """What the fields say of each well, in plate order; the key of well-less fields is kept, last."""
    wells: dict[Key, dict[str, Any]] = {}
    columns = [*_KEYS, "Status", "Count_Nuclei", "Reason"]
    for plate, name, status, count, reason in fields[columns].itertuples(index=False, name=None):
        well = wells.setdefault(
            (plate, name), {"nuclei": 0, "done": 0, "failed": 0, "reasons": {}, "found": False}
        )
        if status == "done":
            well["done"] += 1
            well["nuclei"] += int(count)
        else:
            well["failed"] += 1
            well["reasons"][str(reason)] = None
    return dict(sorted(wells.items(), key=lambda item: _place(item[0])))


def _place(key: Key) -> tuple[str, bool, int, int]:
    plate, name = key
    if not name:
        return plate, True, 0, 0
    row, column = split_well(name)
    return plate, False, row_index(row), column


def _groups(table: pq.ParquetFile, columns: list[str]) -> Iterator[tuple[Key, int, list[pa.Table]]]:
    """Each well with its number of rows and the rows in parts, one well in memory at a time.

    Of nuclei without a well, which may be as many as a folder of images has, no row is kept.

    Raises:
        StoreError: a well comes a second time.
    """
    seen: set[Key] = set()
    current: Key | None = None
    parts: list[pa.Table] = []
    count = 0
    for batch in table.iter_batches(columns=columns):
        for key, rows in _runs(pa.Table.from_batches([batch])):
            if key != current:
                if current is not None:
                    yield current, count, parts
                if key in seen:
                    raise StoreError(f"the nuclei of well {key[1] or '(none)'} of {key[0]} are not together.")
                seen.add(key)
                current, count, parts = key, 0, []
            count += rows.num_rows
            if key[1]:
                parts.append(rows)
    if current is not None:
        yield current, count, parts


def _runs(rows: pa.Table) -> Iterator[tuple[Key, pa.Table]]:
    """Consecutive rows of one well."""
    if rows.num_rows == 0:
        return
    codes = [
        pc.dictionary_encode(rows[name].cast(pa.string()).combine_chunks()).indices.to_numpy()
        for name in _KEYS
    ]
    changes = np.any([code[1:] != code[:-1] for code in codes], axis=0)
    starts = [0, *(np.flatnonzero(changes) + 1).tolist(), rows.num_rows]
    for begin, end in pairwise(starts):
        plate, well = (str(rows[name][begin].as_py()) for name in _KEYS)
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
        "Metadata_Plate": pd.Series([plate for (plate, _), _ in named], dtype="str"),
        "Metadata_Well": pd.Series([name for (_, name), _ in named], dtype="str"),
        "Count_Nuclei": pd.array(counts, dtype="Int64"),
        "Fields_Total": np.array([well["done"] + well["failed"] for _, well in named], np.int64),
        "Fields_Done": np.array([well["done"] for _, well in named], np.int64),
        "Fields_Failed": np.array([well["failed"] for _, well in named], np.int64),
        "Reason": pd.Series(["; ".join(well["reasons"]) for _, well in named], dtype="str"),
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
