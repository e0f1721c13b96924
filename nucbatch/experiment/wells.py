"""Aggregates nuclei per well: one row per well and time point, with counts, failures and statistics.

Nuclei that count in another field, or that the user leaves out (``Metadata_Counted`` is false), are in no
count and no statistic.
A well has a count only if at least one of its fields was usable. Zero nuclei is 0. If every field failed the
count is missing and the row gives the reasons. Fields without a well make no row. Time points are never
pooled, because the same nucleus appears in each of them.

Nuclei are read one well at a time, never the whole plate. This works because the table of nuclei follows the
order of the fields, which keeps a well together. A well that is scattered in the table, or whose rows differ
from its fields' counts, means lost nuclei: that is an error, never a smaller count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
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
from nucbatch.core.plate_geometry import row_index, split_well
from nucbatch.core.selection import NOT_SELECTED

Well = tuple[str, str]  # plate, name
Key = tuple[str, str, int]  # plate, name, time point from 0
_WELL = ["Metadata_Plate", "Metadata_Well"]
_TIME = "Metadata_Time"
_OF_FIELD = {*_WELL, _TIME, "Metadata_Site", "Metadata_Image", "Metadata_TimeStamp"}
_OF_FIELD |= {"Metadata_PositionX_um", "Metadata_PositionY_um"}
_SHARED = [*_WELL, "Status", "Reason", "Flags"]  # texts of which 10⁶ fields have few
_PREFIXES = "Nuclei_", "Cytoplasm_"
_COUNTED, _SEEN = "Metadata_Counted", "Count_Nuclei_Seen"
_AT_EDGES = "Count_Nuclei_AtSharedEdges"
_LEFT_OUT = "Count_Nuclei_LeftOut"
_AREA, _PIXEL = "Nuclei_AreaShape_Area", "Metadata_PixelSize_um"
_PART = 16_384  # rows
_TOGETHER = 32  # measurements


def by_well(
    nuclei: str | Path,
    fields: pd.DataFrame,
    areas_mm2: Mapping[tuple[str, int], float] | None = None,
    intervals: Mapping[tuple[str, int], tuple[int, int]] | None = None,
) -> pd.DataFrame:
    """Aggregates nuclei per well and time point, ordered by plate, well (row-major) and time.

    Args:
        nuclei: the run's ``nuclei.parquet``, in the order of the fields.
        fields: the run's ``fields.parquet`` as a table: Metadata_Plate, Metadata_Well, Metadata_Time, Status
            ("done", "not selected", any other value means failed), Count_Nuclei (missing unless done),
            Reason, Flags.
        areas_mm2: area in which nuclei were counted, by well and time point; of one plate.
        intervals: smallest and largest true number of nuclei, likewise.

    Returns:
        One row per well and time point with these columns:

        - Metadata_Plate, Metadata_Well, Metadata_Time (int64, from 0)
        - the other Metadata_ columns of the fields, missing where a well's fields differ
        - Count_Nuclei (Int64), missing where no field was usable
        - Count_Nuclei_Low, Count_Nuclei_High (Int64), if intervals are given
        - Count_Nuclei_LeftOut (Int64), if the fields have it: nuclei that the user leaves out
        - Count_Nuclei_Seen (Int64), if the fields have it: including nuclei that count in another field
        - Count_Nuclei_AtSharedEdges (Int64), if the fields have it: counted nuclei at edges where fields
          adjoin without overlapping; a nucleus that is cut there counts in both
        - Area_Covered_mm2, Count_Nuclei_PerMm2 and Confluence_Nuclei (float64), if an area is known; the last
          is the fraction of the area that lies in nuclei
        - Fields_Total, Fields_Done, Fields_Failed, Fields_NotSelected (int64)
        - Reason: the distinct reasons of the failed fields, joined by "; "
        - Flags: the distinct flags with their numbers of fields, as "absent-pixels (2)", joined by "; "
        - Count_Nuclei_PerField_Mean (float64), over usable fields
        - Mean_, Median_ and StDev_ (sample, missing below two nuclei) of every measurement (float64).
          Undefined values are left out; missing where no value is left.

    Raises:
        InputNotFound: the table of nuclei does not exist.
        StoreError: a well is scattered in the table, unknown, or its rows differ from its fields' counts.
    """
    path = Path(nuclei)
    if not path.is_file():
        raise InputNotFound(f"{path} does not exist: it is written when a run ends. Finish the run first.")
    wells = _wells(fields)
    with pq.ParquetFile(path) as table:
        measured = [name for name in table.schema_arrow.names if name.startswith(_PREFIXES)]
        for key, count, rows in _groups(table, measured):
            if key not in wells:
                raise StoreError(f"{path} has nuclei of {_described(key)}, but no field belongs to it.")
            well = wells[key]
            if count != well["nuclei"]:
                raise StoreError(
                    f"{path} has {count} nuclei of {_described(key)}, its fields count "
                    f"{well['nuclei']}: the tables are not of one run. Run the same command again."
                )
            well["found"] = True
            if rows is not None:
                well["statistics"] = _statistics(rows, measured)
                well["nuclei_um2"] = _nuclei_um2(rows)
    for key, well in wells.items():
        if well["nuclei"] and not well["found"]:
            raise StoreError(
                f"{path} has no nuclei of {_described(key)}, its fields count "
                f"{well['nuclei']}: the tables are not of one run. Run the same command again."
            )
    return _with_metadata(
        _frame(
            wells,
            measured,
            areas_mm2 or {},
            {name: _sums(fields, name) for name in (_LEFT_OUT, _AT_EDGES)},
            intervals or {},
        ),
        fields,
    )


def fields_by_well(path: Path) -> pd.DataFrame:
    """Reads the columns of ``fields.parquet`` that :func:`by_well` needs: no figures of single fields."""
    schema = pq.read_schema(path)
    wanted = {*_WELL, _TIME, "Status", "Count_Nuclei", "Reason", "Flags", _SEEN, _LEFT_OUT, _AT_EDGES}
    of_user = {name for name in schema.names if name.startswith("Metadata_")} - _OF_FIELD
    columns = [name for name in schema.names if name in wanted | of_user]
    table = pq.read_table(path, columns=columns, read_dictionary=_SHARED)
    found: pd.DataFrame = table.to_pandas(split_blocks=True, self_destruct=True)
    return found


def wells_metadata(fields: pd.DataFrame) -> pd.DataFrame:
    """Returns plate, well, time point and the user's columns of each row of the table of wells, in its order.

    Args:
        fields: as for :func:`by_well`.
    """
    named = [key for key in _wells(fields) if key[1]]
    return _with_metadata(_places_frame(named), fields)


def _described(key: Key) -> str:
    plate, name, t = key
    return f"well {name or '(none)'} of {plate}" + (f" at time point {t}" if t else "")


def _wells(fields: pd.DataFrame) -> dict[Key, dict[str, Any]]:
    """Summarises the fields of each well and time point, in plate order; fields without a well come last."""
    wells: dict[Key, dict[str, Any]] = {}
    columns = [*_WELL, _TIME, "Status", "Count_Nuclei", "Reason", "Flags"]
    seen = _SEEN if _SEEN in fields else "Count_Nuclei"
    for plate, name, t, status, count, reason, flags, all_seen in _in_parts(fields[[*columns, seen]]):
        well = wells.setdefault(
            (plate, name, int(t)),
            {
                "nuclei": 0,
                "seen": 0 if seen == _SEEN else None,
                "done": 0,
                "failed": 0,
                "not selected": 0,
                "reasons": {},
                "flags": Counter(),
                "found": False,
            },
        )
        well["flags"].update(filter(None, flags.split("; ")))
        if status == "done":
            well["done"] += 1
            well["nuclei"] += int(count)
            if seen == _SEEN:
                well["seen"] += int(all_seen)
        elif status == NOT_SELECTED:
            well["not selected"] += 1
        else:
            well["failed"] += 1
            well["reasons"][str(reason)] = None
    return dict(sorted(wells.items(), key=lambda item: _place(item[0])))


def _in_parts(table: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """Yields the rows; pandas makes a Python object of each cell first, so it is given a part at a time."""
    for begin in range(0, len(table), _PART):
        yield from table.iloc[begin : begin + _PART].itertuples(index=False, name=None)


def _place(key: Key) -> tuple[str, bool, int, int, int]:
    plate, name, t = key
    if not name:
        return plate, True, 0, 0, t
    row, column = split_well(name)
    return plate, False, row_index(row), column, t


def _groups(table: pq.ParquetFile, measured: list[str]) -> Iterator[tuple[Key, int, pa.Table | None]]:
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
    for batch in table.iter_batches(columns=[*_WELL, _TIME, *further, *measured]):
        counted = pa.Table.from_batches([batch])
        if _COUNTED in further:
            counted = counted.filter(counted[_COUNTED])
        for well, rows in _runs(counted):
            if not well[1]:
                times, counts = np.unique(rows[_TIME].to_numpy(), return_counts=True)
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
    times = rows[_TIME].to_numpy()
    for t in np.unique(times).tolist():
        chosen = times == t
        yield (plate, name, t), int(chosen.sum()), rows.filter(pa.array(chosen))


def _runs(rows: pa.Table) -> Iterator[tuple[Well, pa.Table]]:
    """Yields runs of consecutive rows that belong to one well."""
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


def _statistics(rows: pa.Table, measured: list[str]) -> npt.NDArray[np.float64]:
    """Returns mean, median and spread of each measurement (M, 3); undefined values are left out."""
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


def _nuclei_um2(rows: pa.Table) -> float:
    """Returns the area of all nuclei in µm²; NaN where a pixel size is unknown."""
    if _PIXEL not in rows.column_names or _AREA not in rows.column_names:
        return np.nan
    pixel_um = rows[_PIXEL].to_numpy().astype(np.float64)
    return float((rows[_AREA].to_numpy() * pixel_um**2).sum())


def _sums(fields: pd.DataFrame, column: str) -> dict[Key, int]:
    """Sums a count of the fields per well and time point; without wells whose fields don't have it."""
    if column not in fields:
        return {}
    sums: dict[Key, int] = Counter()
    known = fields.dropna(subset=[column])
    for plate, name, t, count in known[[*_WELL, _TIME, column]].itertuples(index=False, name=None):
        sums[str(plate), str(name), int(t)] += int(count)
    return sums


def _seen(named: list[tuple[Key, dict[str, Any]]]) -> dict[str, Any]:
    if all(well["seen"] is None for _, well in named):
        return {}
    return {_SEEN: pd.array([well["seen"] if well["done"] else None for _, well in named], dtype="Int64")}


def _ends(
    named: list[tuple[Key, dict[str, Any]]], intervals: Mapping[tuple[str, int], tuple[int, int]]
) -> dict[str, Any]:
    if not intervals:
        return {}
    ends = [intervals.get((name, t), (None, None)) for (_, name, t), _ in named]
    return {
        "Count_Nuclei_Low": pd.array([low for low, _ in ends], dtype="Int64"),
        "Count_Nuclei_High": pd.array([high for _, high in ends], dtype="Int64"),
    }


def _per_area(
    named: list[tuple[Key, dict[str, Any]]], areas_mm2: Mapping[tuple[str, int], float]
) -> dict[str, Any]:
    """Returns the columns of area, density and confluence; none if no area is known."""
    if not areas_mm2:
        return {}
    areas = np.array([areas_mm2.get((name, t), np.nan) for (_, name, t), _ in named], np.float64)
    counts = np.array([well["nuclei"] for _, well in named], np.float64)
    in_nuclei = np.array([well.get("nuclei_um2", 0.0) for _, well in named], np.float64)
    return {
        "Area_Covered_mm2": areas,
        "Count_Nuclei_PerMm2": counts / areas,
        "Confluence_Nuclei": in_nuclei / 1e6 / areas,
    }


def _frame(
    wells: dict[Key, dict[str, Any]],
    measured: list[str],
    areas_mm2: Mapping[tuple[str, int], float],
    further: Mapping[str, Mapping[Key, int]],
    intervals: Mapping[tuple[str, int], tuple[int, int]],
) -> pd.DataFrame:
    named = [(key, well) for key, well in wells.items() if key[1]]
    counts = [well["nuclei"] if well["done"] else None for _, well in named]
    columns: dict[str, Any] = {
        **_places_frame([key for key, _ in named]),
        "Count_Nuclei": pd.array(counts, dtype="Int64"),
        **_ends(named, intervals),
        **_seen(named),
        **{
            name: pd.array([sums.get(key) for key, _ in named], dtype="Int64")
            for name, sums in further.items()
            if sums
        },
        **_per_area(named, areas_mm2),
        "Fields_Total": np.array(
            [well["done"] + well["failed"] + well["not selected"] for _, well in named], np.int64
        ),
        "Fields_Done": np.array([well["done"] for _, well in named], np.int64),
        "Fields_Failed": np.array([well["failed"] for _, well in named], np.int64),
        "Fields_NotSelected": np.array([well["not selected"] for _, well in named], np.int64),
        "Reason": pd.Series(["; ".join(well["reasons"]) for _, well in named], dtype="str"),
        "Flags": pd.Series(
            ["; ".join(f"{flag} ({count})" for flag, count in well["flags"].items()) for _, well in named],
            dtype="str",
        ),
        "Count_Nuclei_PerField_Mean": np.array(
            [well["nuclei"] / well["done"] if well["done"] else np.nan for _, well in named], np.float64
        ),
    }
    names = [statistic + name for name in measured for statistic in ("Mean_", "Median_", "StDev_")]
    statistics = np.full((len(named), len(names)), np.nan)
    for place, (_, well) in enumerate(named):
        if "statistics" in well:
            statistics[place] = well["statistics"].ravel()
    return pd.concat([pd.DataFrame(columns), pd.DataFrame(statistics, columns=names)], axis=1)


def _places_frame(keys: list[Key]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Metadata_Plate": pd.Series([plate for plate, _, _ in keys], dtype="str"),
            "Metadata_Well": pd.Series([name for _, name, _ in keys], dtype="str"),
            "Metadata_Time": np.array([t for _, _, t in keys], np.int64),
        }
    )


def _with_metadata(table: pd.DataFrame, fields: pd.DataFrame) -> pd.DataFrame:
    """Adds the columns of the user's own table, where all fields of a well agree."""
    names = map(str, fields.columns)
    kept = [name for name in names if name.startswith("Metadata_") and name not in _OF_FIELD]
    if not kept:
        return table
    groups = fields.groupby([*_WELL, _TIME])[kept]
    agreed = groups.first().where(groups.nunique(dropna=False) == 1)
    values = agreed.reindex(pd.MultiIndex.from_frame(table[[*_WELL, _TIME]])).reset_index(drop=True)
    place = list(table).index(_TIME) + 1
    return pd.concat([table.iloc[:, :place], values, table.iloc[:, place:]], axis=1)
