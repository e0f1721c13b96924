"""The data of a run that the report shows: its tables and run.json, each read when first needed."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from nucbatch.core.errors import StoreError
from nucbatch.core.selection import NOT_SELECTED
from nucbatch.features.quality import MISSING_CHANNEL
from nucbatch.labels.run_images import RunImages
from nucbatch.report.file_groups import FileGroup, read_file_groups
from nucbatch.report.wells import WELL_TIME, Well, wells_of
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.sheets import neutral

T = TypeVar("T")

_TEXT = (
    "Metadata_Plate",
    "Metadata_Well",
    "Reason",
    "Metadata_AssayControl",
    "Metadata_AssaySeries",
    "Series",
    "Measure",
    "Axis",
    "Unit",
    "Status",
    "Flags",
)


_STATISTICS = ("Mean_", "Median_", "StDev_")
_FIGURE = "QC_"
_OF_ONE_FIELD = ("Metadata_Image", "Metadata_TimeStamp", "Name")
"""Texts of fields.parquet that are others in each field; of the rest, fields share a few."""


@dataclass(frozen=True)
class RunData:
    """A finished run's folder, read lazily. Tables have the columns of the run's files."""

    paths: RunFolder
    _once: dict[Callable[..., Any], Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, compute: Callable[[RunData], T]) -> T:
        """What a function computes from this data, computed once for all panels."""
        if compute not in self._once:
            self._once[compute] = compute(self)
        found: T = self._once[compute]
        return found

    @cached_property
    def run(self) -> dict[str, Any]:
        """The content of run.json."""
        path = self._existing(self.paths.run_json)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise StoreError(
                f"{path} is not JSON ({error}): run the same command again to rewrite it."
            ) from error
        if not isinstance(content, dict):
            raise StoreError(f"{path} is not a JSON object: run the same command again to rewrite it.")
        return content

    @cached_property
    def images(self) -> RunImages:
        """The images of the fields, copied or not."""
        return RunImages(self.paths)

    @cached_property
    def fields(self) -> pd.DataFrame:
        """fields.parquet: one row per field, ordered by plate, well and site; without :attr:`figures`.

        Texts that fields share, such as the well, are categories: 10⁶ fields have few of them.
        """
        names = pq.read_schema(self._existing(self.paths.fields)).names
        return self._fields([name for name in names if name not in self.figures])

    @cached_property
    def figures(self) -> tuple[str, ...]:
        """Names of the quality figures in fields.parquet, most of what it holds; see :meth:`done_with`."""
        names = pq.read_schema(self._existing(self.paths.fields)).names
        return tuple(name for name in names if name.startswith(_FIGURE))

    def done_with(self, *columns: str) -> pd.DataFrame:
        """Some columns of the counted fields, read anew."""
        return _done(self._fields(["Status", *columns]))

    def _fields(self, columns: Sequence[str]) -> pd.DataFrame:
        path = self._existing(self.paths.fields)
        texts = [one.name for one in pq.read_schema(path) if pa.types.is_string(one.type)]
        shared = [name for name in texts if name not in _OF_ONE_FIELD]
        table = pq.read_table(path, columns=list(columns), read_dictionary=shared)
        found: pd.DataFrame = table.to_pandas(split_blocks=True, self_destruct=True)
        return found

    @cached_property
    def files(self) -> list[FileGroup]:
        """The files found, as files.csv lists them, by status and reason."""
        return read_file_groups(self._existing(self.paths.files))

    @cached_property
    def warnings(self) -> dict[str, int]:
        """The warnings of all sessions, in the order in which they came first, and in how many each came."""
        counts: dict[str, int] = {}
        lines = self.paths.warnings.read_bytes().splitlines() if self.paths.warnings.is_file() else []
        for line in lines:
            try:
                text = str(json.loads(line)["text"])
            except (ValueError, KeyError, TypeError):  # cut short by a kill or a full disk
                continue
            counts[text] = counts.get(text, 0) + 1
        return counts

    @cached_property
    def done(self) -> pd.DataFrame:
        """The counted fields, including those without nuclei."""
        return _done(self.fields)

    @cached_property
    def flagged(self) -> pd.DataFrame:
        """The counted fields whose count is doubtful."""
        return self.done[self.done["Flags"] != ""]

    @cached_property
    def lacking(self) -> pd.DataFrame:
        """The counted fields without an image in some channel other than the segmented one."""
        return self.flagged[self.flagged["Flags"].str.contains(MISSING_CHANNEL, regex=False)]

    @cached_property
    def failed(self) -> pd.DataFrame:
        """The fields that were not counted: their task failed, or their files can't be used."""
        return self.fields[self.fields["Status"].isin(["failed", "quarantined"])]

    @cached_property
    def pending(self) -> pd.DataFrame:
        """The fields of an interrupted run that were not processed."""
        return self.fields[self.fields["Status"] == "pending"]

    @cached_property
    def not_selected(self) -> pd.DataFrame:
        """The usable fields that no session has selected."""
        return self.fields[self.fields["Status"] == NOT_SELECTED]

    @cached_property
    def wells(self) -> tuple[Well, ...]:
        """Every well and time point with a field, by plate, time, row and column.

        Empty if the input is not a plate.
        """
        return wells_of(self.fields)

    @cached_property
    def well_table(self) -> pd.DataFrame:
        """wells.csv with one row for each of :attr:`wells`, in their order."""
        table = _read_wells(self._existing(self.paths.wells))
        places = [(neutral(well.plate), well.name, well.t) for well in self.wells]
        if places == list(table[WELL_TIME].itertuples(index=False, name=None)):  # as a run writes it
            return table
        written = pd.MultiIndex.from_frame(table[WELL_TIME])
        rows = written.get_indexer(pd.MultiIndex.from_tuples(places, names=WELL_TIME))
        return table.reindex(rows).reset_index(drop=True)  # -1, a well without a row, has no values

    @property
    def controls(self) -> list[str]:
        """Whether each well is a ``positive`` or ``negative`` control; empty texts if it is none."""
        wells = self.well_table
        name = "Metadata_AssayControl"
        return [str(kind) for kind in wells[name].fillna("")] if name in wells else [""] * len(wells)

    @property
    def well_flags(self) -> list[str]:
        """The flags of each well's fields, as wells.csv has them; empty texts if it has none."""
        wells = self.well_table
        return [str(flags) for flags in wells["Flags"].fillna("")] if "Flags" in wells else [""] * len(wells)

    @property
    def plates(self) -> list[str]:
        """The names of the plates, in the order of the wells."""
        return list(dict.fromkeys(well.plate for well in self.wells))

    @property
    def experiment(self) -> dict[str, Any]:
        """What run.json says of the experiment; empty if the run was not described."""
        described = self.run.get("experiment")
        return described if isinstance(described, dict) else {}

    @cached_property
    def assay(self) -> pd.DataFrame | None:
        """assay.csv: how well the controls separate; None if none are named."""
        return _read_csv(self.paths.assay) if self.paths.assay.is_file() else None

    @cached_property
    def doses(self) -> pd.DataFrame | None:
        """doses.csv: the fitted curves; None if no doses are named."""
        return _read_csv(self.paths.doses) if self.paths.doses.is_file() else None

    @property
    def pixels_kept(self) -> bool:
        """Whether the run has an OME-Zarr; a run that wrote only label TIFFs has none."""
        return self.text("settings", "labels") in ("zarr", "both")

    @property
    def wall_s(self) -> float | None:
        """Duration of the run's last session in seconds, from run.json; None if it is not recorded."""
        return self._timing("wall_s")

    @property
    def wall_fields(self) -> int | None:
        """Number of fields processed in that time; fewer than all if the run was resumed."""
        fields = self._timing("wall_fields")
        return None if fields is None else int(fields)

    def _timing(self, name: str) -> float | None:
        timings = self.run.get("timings")
        value = timings.get(name) if isinstance(timings, dict) else None
        return float(value) if isinstance(value, int | float) and value > 0 else None

    @property
    def plate_size(self) -> tuple[int, int]:
        """(rows, columns) of the plate as the vendor recorded them; 0 if run.json has none."""
        recorded = (self.text("plate", side) for side in ("rows", "columns"))
        rows, columns = (int(value) if value.isdecimal() else 0 for value in recorded)
        return rows, columns

    def text(self, *keys: str) -> str:
        """A value of run.json as text, empty if it is missing: ``text("model", "sha256")``."""
        value: Any = self.run
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return "" if value is None else str(value)

    def _existing(self, path: Path) -> Path:
        if not path.is_file():
            raise StoreError(
                f"{self.paths.path} has no {path.name}: a report needs a finished run. Run the same command "
                "again to finish it."
            )
        return path


def _done(fields: pd.DataFrame) -> pd.DataFrame:
    """The counted fields; the table itself, not a copy, if all are."""
    is_done = fields["Status"] == "done"
    return fields if is_done.all() else fields[is_done]


def _read_wells(path: Path) -> pd.DataFrame:
    """Reads wells.csv; its hundreds of statistics at once, for which pandas takes ten times as long."""
    with path.open(encoding="utf-8", newline="") as file:
        names, *rows = csv.reader(file)
    many = [at for at, name in enumerate(names) if name.startswith(_STATISTICS)]
    try:
        numbers = np.array([[float(row[at] or "nan") for at in many] for row in rows], np.float64)
    except (ValueError, IndexError):  # a column of the user's table has such a name
        return _read_csv(path)
    statistics = pd.DataFrame(numbers.reshape(len(rows), len(many)), columns=[names[at] for at in many])
    others = [name for name in names if not name.startswith(_STATISTICS)]
    return pd.concat([_read_csv(path, others), statistics], axis=1)


def _read_csv(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    # A well or a plate may be named NA or null: only an empty cell is a missing value.
    types = dict.fromkeys(_TEXT, str)
    table = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=types, usecols=columns)
    text = [column for column in table.columns if column in _TEXT]
    table[text] = table[text].fillna("")
    return table
