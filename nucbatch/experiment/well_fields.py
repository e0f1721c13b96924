"""Summarises the fields of each well and time point: counts, failures, reasons, flags, the user's columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from nucbatch.core.plate_geometry import row_index, split_well
from nucbatch.core.selection import NOT_SELECTED

Key = tuple[str, str, int]  # plate, name of the well, time point from 0
WELL = ["Metadata_Plate", "Metadata_Well"]
TIME = "Metadata_Time"
SEEN = "Count_Nuclei_Seen"
FURTHER = ("Count_Nuclei_LeftOut", "Count_Nuclei_AtSharedEdges")
"""Counts that fields have where a run needs them; a well's is their sum."""
_OF_FIELD = {*WELL, TIME, "Metadata_Site", "Metadata_Image", "Metadata_TimeStamp"}
_OF_FIELD |= {"Metadata_PositionX_um", "Metadata_PositionY_um"}
_SHARED = [*WELL, "Status", "Reason", "Flags"]  # texts of which 10⁶ fields have few
_PART = 16_384  # rows


@dataclass(slots=True)
class WellFields:
    """The fields of a well at a time point.

    Attributes:
        done: number of usable fields.
        failed: of fields that could not be used.
        not_selected: of fields that the user left out.
        nuclei: counted nuclei of the usable fields.
        seen: the same with those that count in another field.
        reasons: distinct reasons of the failed fields, in order.
        flags: distinct flags with their numbers of fields.
    """

    done: int = 0
    failed: int = 0
    not_selected: int = 0
    nuclei: int = 0
    seen: int = 0
    reasons: dict[str, None] = field(default_factory=dict)
    flags: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """Number of all fields."""
        return self.done + self.failed + self.not_selected

    @property
    def count(self) -> int | None:
        """The well's count; None if no field was usable."""
        return self.nuclei if self.done else None

    @property
    def flags_text(self) -> str:
        """The flags as ``absent-pixels (2); shading (1)``."""
        return "; ".join(f"{flag} ({count})" for flag, count in self.flags.items())

    def add(self, status: str, nuclei: Any, seen: Any, reason: str, flags: str) -> None:
        """Adds a field; its counts are missing unless its status is "done"."""
        self.flags.update(filter(None, flags.split("; ")))
        if status == "done":
            self.done += 1
            self.nuclei += int(nuclei)
            self.seen += int(seen)
        elif status == NOT_SELECTED:
            self.not_selected += 1
        else:
            self.failed += 1
            self.reasons[reason] = None


def fields_by_well(path: Path) -> pd.DataFrame:
    """Reads the columns of ``fields.parquet`` that tables of wells need: no figures of single fields."""
    schema = pq.read_schema(path)
    wanted = {*WELL, TIME, "Status", "Count_Nuclei", "Reason", "Flags", SEEN, *FURTHER}
    of_user = {name for name in schema.names if name.startswith("Metadata_")} - _OF_FIELD
    columns = [name for name in schema.names if name in wanted | of_user]
    table = pq.read_table(path, columns=columns, read_dictionary=_SHARED)
    found: pd.DataFrame = table.to_pandas(split_blocks=True, self_destruct=True)
    return found


def summarised(fields: pd.DataFrame) -> dict[Key, WellFields]:
    """Returns the fields of each well and time point, in plate order; fields without a well come last.

    Args:
        fields: as for :func:`nucbatch.experiment.wells.by_well`.
    """
    wells: dict[Key, WellFields] = {}
    seen = SEEN if SEEN in fields else "Count_Nuclei"
    columns = [*WELL, TIME, "Status", "Count_Nuclei", seen, "Reason", "Flags"]
    for plate, name, t, status, count, all_seen, reason, flags in _in_parts(fields[columns]):
        well = wells.setdefault((plate, name, int(t)), WellFields())
        well.add(status, count, all_seen, str(reason), flags)
    return dict(sorted(wells.items(), key=lambda item: _place(item[0])))


def sums(fields: pd.DataFrame, column: str) -> dict[Key, int]:
    """Sums a count of the fields per well and time point; without wells whose fields don't have it."""
    if column not in fields:
        return {}
    found: dict[Key, int] = Counter()
    known = fields.dropna(subset=[column])
    for plate, name, t, count in known[[*WELL, TIME, column]].itertuples(index=False, name=None):
        found[str(plate), str(name), int(t)] += int(count)
    return found


def places(keys: Sequence[Key]) -> pd.DataFrame:
    """Returns plate, well and time point as columns."""
    return pd.DataFrame(
        {
            "Metadata_Plate": pd.Series([plate for plate, _, _ in keys], dtype="str"),
            "Metadata_Well": pd.Series([name for _, name, _ in keys], dtype="str"),
            "Metadata_Time": np.array([t for _, _, t in keys], np.int64),
        }
    )


def with_metadata(table: pd.DataFrame, fields: pd.DataFrame) -> pd.DataFrame:
    """Adds the columns of the user's own table, where all fields of a well agree."""
    names = map(str, fields.columns)
    kept = [name for name in names if name.startswith("Metadata_") and name not in _OF_FIELD]
    if not kept:
        return table
    groups = fields.groupby([*WELL, TIME], observed=True)[kept]
    agreed = groups.first().where(groups.nunique(dropna=False) == 1)
    values = agreed.reindex(pd.MultiIndex.from_frame(table[[*WELL, TIME]])).reset_index(drop=True)
    place = list(table).index(TIME) + 1
    return pd.concat([table.iloc[:, :place], values, table.iloc[:, place:]], axis=1)


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
