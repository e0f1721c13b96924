"""Aggregates nuclei per well: one row per well and time point, with counts, failures and statistics.

Nuclei that count in another field, or that the user leaves out (``Metadata_Counted`` is false), are in no
count and no statistic.
A well has a count only if at least one of its fields was usable. Zero nuclei is 0. If every field failed the
count is missing and the row gives the reasons. Fields without a well make no row. Time points are never
pooled, because the same nucleus appears in each of them.

A well whose rows in the table of nuclei differ from its fields' counts means lost nuclei: that is an error,
never a smaller count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq

from nucbatch.core.errors import InputNotFound, StoreError
from nucbatch.experiment.well_fields import (
    FURTHER,
    SEEN,
    Key,
    WellFields,
    places,
    summarised,
    sums,
    with_metadata,
)
from nucbatch.experiment.well_nuclei import STATISTICS, groups, nuclei_um2, statistics

_PREFIXES = "Nuclei_", "Cytoplasm_"


@dataclass(frozen=True, slots=True)
class _WellNuclei:
    """Statistics (M, 3) of a well's M measurements, and the area of all its nuclei."""

    statistics: npt.NDArray[np.float64]
    um2: float


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
    wells = summarised(fields)
    with pq.ParquetFile(path) as rows:
        measured = [name for name in rows.schema_arrow.names if name.startswith(_PREFIXES)]
        found = _read(path, rows, measured, wells)
    named = [key for key in wells if key[1]]
    own = [wells[key] for key in named]
    columns = {
        **places(named),
        "Count_Nuclei": _integers([well.count for well in own]),
        **_ends(named, intervals or {}),
        **_seen(own, fields),
        **_further(named, fields),
        **_per_area(named, own, found, areas_mm2 or {}),
        **_of_fields(own),
    }
    return with_metadata(
        pd.concat([pd.DataFrame(columns), _statistics(named, found, measured)], axis=1), fields
    )


def wells_metadata(fields: pd.DataFrame) -> pd.DataFrame:
    """Returns plate, well, time point and the user's columns of each row of the table of wells, in its order.

    Args:
        fields: as for :func:`by_well`.
    """
    named = [key for key in summarised(fields) if key[1]]
    return with_metadata(places(named), fields)


def _read(
    path: Path, table: pq.ParquetFile, measured: list[str], wells: Mapping[Key, WellFields]
) -> dict[Key, _WellNuclei]:
    """Reads the nuclei of each named well.

    Raises:
        StoreError: a well is scattered in the table, unknown, or its rows differ from its fields' counts.
    """
    mend = "the tables are not of one run. Run the same command again."
    found: dict[Key, _WellNuclei] = {}
    seen: set[Key] = set()
    for key, count, rows in groups(table, measured):
        if key not in wells:
            raise StoreError(f"{path} has nuclei of {_described(key)}, but no field belongs to it.")
        known = wells[key].nuclei
        if count != known:
            raise StoreError(
                f"{path} has {count} nuclei of {_described(key)}, its fields count {known}: {mend}"
            )
        seen.add(key)
        if rows is not None:
            found[key] = _WellNuclei(statistics(rows, measured), nuclei_um2(rows))
    for key, well in wells.items():
        if well.nuclei and key not in seen:
            raise StoreError(
                f"{path} has no nuclei of {_described(key)}, its fields count {well.nuclei}: {mend}"
            )
    return found


def _described(key: Key) -> str:
    plate, name, t = key
    return f"well {name or '(none)'} of {plate}" + (f" at time point {t}" if t else "")


def _integers(values: Sequence[int | None]) -> Any:
    return pd.array(list(values), dtype="Int64")


def _ends(named: list[Key], intervals: Mapping[tuple[str, int], tuple[int, int]]) -> dict[str, Any]:
    """Returns the columns of the smallest and largest true number; none if no interval is known."""
    if not intervals:
        return {}
    ends = [intervals.get((name, t), (None, None)) for _, name, t in named]
    return {
        "Count_Nuclei_Low": _integers([low for low, _ in ends]),
        "Count_Nuclei_High": _integers([high for _, high in ends]),
    }


def _seen(own: list[WellFields], fields: pd.DataFrame) -> dict[str, Any]:
    """Returns the column of nuclei that count in any field, if the fields have it."""
    if not own or SEEN not in fields:
        return {}
    return {SEEN: _integers([well.seen if well.done else None for well in own])}


def _further(named: list[Key], fields: pd.DataFrame) -> dict[str, Any]:
    """Returns the columns of further counts that the fields have."""
    found = {name: sums(fields, name) for name in FURTHER}
    return {name: _integers([own.get(key) for key in named]) for name, own in found.items() if own}


def _per_area(
    named: list[Key],
    own: list[WellFields],
    found: Mapping[Key, _WellNuclei],
    areas_mm2: Mapping[tuple[str, int], float],
) -> dict[str, Any]:
    """Returns the columns of area, density and confluence; none if no area is known."""
    if not areas_mm2:
        return {}
    areas = np.array([areas_mm2.get((name, t), np.nan) for _, name, t in named], np.float64)
    in_nuclei = np.array([found[key].um2 if key in found else 0.0 for key in named], np.float64)
    return {
        "Area_Covered_mm2": areas,
        "Count_Nuclei_PerMm2": np.array([well.nuclei for well in own], np.float64) / areas,
        "Confluence_Nuclei": in_nuclei / 1e6 / areas,
    }


def _of_fields(own: list[WellFields]) -> dict[str, Any]:
    """Returns the columns of numbers of fields, reasons, flags and the mean count."""
    means = [well.nuclei / well.done if well.done else np.nan for well in own]
    return {
        "Fields_Total": np.array([well.total for well in own], np.int64),
        "Fields_Done": np.array([well.done for well in own], np.int64),
        "Fields_Failed": np.array([well.failed for well in own], np.int64),
        "Fields_NotSelected": np.array([well.not_selected for well in own], np.int64),
        "Reason": pd.Series(["; ".join(well.reasons) for well in own], dtype="str"),
        "Flags": pd.Series([well.flags_text for well in own], dtype="str"),
        "Count_Nuclei_PerField_Mean": np.array(means, np.float64),
    }


def _statistics(named: list[Key], found: Mapping[Key, _WellNuclei], measured: list[str]) -> pd.DataFrame:
    names = [statistic + name for name in measured for statistic in STATISTICS]
    values = np.full((len(named), len(names)), np.nan)
    for place, key in enumerate(named):
        if key in found:
            values[place] = found[key].statistics.ravel()
    return pd.DataFrame(values, columns=names)
