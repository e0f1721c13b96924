"""Table of fields of a run (Parquet): one row per field, with its status and number of nuclei.

It contains no times and no worker names, so it depends on images, model and parameters only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, starmap
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nucbatch.core.plate import Field, Plate, projection_text
from nucbatch.core.rows import Rows
from nucbatch.core.selection import NOT_SELECTED
from nucbatch.store.atomic import replacing
from nucbatch.store.receipt import Receipt


@dataclass(frozen=True, slots=True)
class FieldOutcome:
    """The outcome of a field, for its row in the table.

    Attributes:
        status: ``done``, ``failed``, ``quarantined``, ``not selected`` or ``pending``.
        reason: why the field is not done.
        nuclei: number of nuclei in its mask; None unless done. The other numbers are parts of it.
        figures: its ``QC_`` columns.
        flags: doubts about its count.
        left_out: number of nuclei that the user leaves out.
        elsewhere: number of further nuclei that count in an overlapping field.
        at_shared_edges: number of counted nuclei at edges that another field adjoins; None if its place is
            unknown.
        interval: smallest and largest true number of nuclei; None if it is unknown.
    """

    status: str
    reason: str = ""
    nuclei: int | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    flags: Sequence[str] = ()
    left_out: int = 0
    elsewhere: int = 0
    at_shared_edges: int | None = None
    interval: tuple[int, int] | None = None

    @classmethod
    def of(cls, one: Field, receipt: Receipt | None, *, selected: bool = True) -> FieldOutcome:
        """Returns the outcome of a field that has this receipt, or none yet."""
        if one.problem:
            return cls("quarantined", one.problem)
        if not selected:
            return cls(NOT_SELECTED, "not selected by --wells, --sites or --times")
        if receipt is None:
            return cls("pending", "not processed yet")
        if receipt.status == "failed":
            return cls("failed", receipt.reason)
        return cls("done", nuclei=receipt.nuclei, figures=receipt.qc)

    @property
    def seen(self) -> int | None:
        """Number of nuclei without those that the user leaves out."""
        return None if self.nuclei is None else self.nuclei - self.left_out

    @property
    def counted(self) -> int | None:
        """Number of nuclei that count in this field."""
        return None if self.seen is None else self.seen - self.elsewhere


def write_fields(
    path: Path,
    plate: Plate,
    outcomes: Iterable[FieldOutcome],
    figures: Iterable[str] = (),
    *,
    left_out: bool = False,
    at_edges: bool = False,
    intervals: bool = False,
) -> None:
    """Writes one row per field of the plate, in its order, durably, with some thousand rows in memory.

    ``Status`` is ``done`` (``Count_Nuclei`` may be 0), ``failed`` (its task could not finish),
    ``quarantined`` (its files cannot be used), ``not selected`` or ``pending`` (not processed yet).
    ``Count_Nuclei`` and the ``QC_`` columns are null unless done. ``Reason`` is empty for done fields.
    ``Flags`` lists doubts about a count, joined by "; ". ``Projection`` says how several z-steps became one
    plane; empty for one.

    If a field has a stage position, ``Metadata_PositionX_um`` and ``Metadata_PositionY_um`` hold that of its
    centre (y down), ``Count_Nuclei`` leaves out the nuclei that count in an overlapping field, and
    ``Count_Nuclei_Seen`` is the number of all. If its pixel size is known too,
    ``Count_Nuclei_AtSharedEdges`` is the number of counted nuclei at edges that another field adjoins.
    ``Metadata_Acquisition`` and ``Metadata_TimeStamp`` are there if the input records them.

    Args:
        path: the file.
        plate: the input.
        outcomes: of its fields, in their order.
        figures: names of the ``QC_`` columns.
        left_out: whether nuclei can be left out by the user. They are in ``Count_Nuclei_LeftOut`` and in no
            other count.
        at_edges: whether there is the column ``Count_Nuclei_AtSharedEdges``.
        intervals: whether there are the columns ``Count_Nuclei_Low`` and ``Count_Nuclei_High``.

    Raises:
        StoreError: the file cannot be written.
    """
    columns = _identity(plate) | _place(plate) | _metadata(plate)
    columns |= {
        "Name": (pa.string(), lambda one, _: one.name),
        "Status": (pa.string(), lambda _, outcome: outcome.status),
        "Reason": (pa.string(), lambda _, outcome: outcome.reason),
        "Flags": (pa.string(), lambda _, outcome: "; ".join(outcome.flags)),
        "Count_Nuclei": (pa.int64(), lambda _, outcome: outcome.counted),
    }
    if has_positions(plate.fields):
        columns["Count_Nuclei_Seen"] = pa.int64(), lambda _, outcome: outcome.seen
    if left_out:
        columns["Count_Nuclei_LeftOut"] = pa.int64(), _left_out
    if intervals:
        columns["Count_Nuclei_Low"] = pa.int64(), lambda _, outcome: (outcome.interval or (None, None))[0]
        columns["Count_Nuclei_High"] = pa.int64(), lambda _, outcome: (outcome.interval or (None, None))[1]
    if at_edges:
        columns["Count_Nuclei_AtSharedEdges"] = pa.int64(), lambda _, outcome: outcome.at_shared_edges
    columns |= {
        "Height_px": (pa.int64(), lambda one, _: one.height_px),
        "Width_px": (pa.int64(), lambda one, _: one.width_px),
        "Projection": (pa.string(), lambda one, _: projection_text(one.z_steps)),
        "PixelSize_um": (pa.float64(), lambda one, _: one.pixel_size_um),
    }
    columns |= {name: (pa.float64(), partial(_figure, name)) for name in sorted(figures)}
    schema = pa.schema([(name, kind) for name, (kind, _) in columns.items()])
    rows = zip(plate.fields, outcomes, strict=True)
    with (
        replacing(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for group in iter(lambda: list(_batches(columns, schema, rows)), []):
            writer.write_table(pa.Table.from_batches(group).combine_chunks())
        if not len(plate.fields):
            writer.write_table(schema.empty_table())


_Row = tuple[Field, FieldOutcome]
_Columns = dict[str, tuple[pa.DataType, Callable[[Field, FieldOutcome], Any]]]
"""Type of each column, and the function that gives its value for a field."""

_BATCH = 1_024
_BATCHES_PER_GROUP = 64


def _batches(columns: _Columns, schema: pa.Schema, rows: Iterator[_Row]) -> Iterator[pa.RecordBatch]:
    """Yields the next rows of one row group."""
    for _ in range(_BATCHES_PER_GROUP):
        some = list(islice(rows, _BATCH))
        if not some:
            return
        arrays = [pa.array(list(starmap(value, some)), kind) for kind, value in columns.values()]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _identity(plate: Plate) -> _Columns:
    return {
        "Metadata_Plate": (pa.string(), lambda _, __: plate.name),
        "Metadata_Well": (pa.string(), lambda one, _: one.well),
        "Metadata_Site": (pa.int64(), lambda one, _: one.site),
        "Metadata_Time": (pa.int64(), lambda one, _: one.t),
        "Metadata_Image": (pa.string(), lambda one, _: one.group),
    }


def _place(plate: Plate) -> _Columns:
    """Returns the columns of position, acquisition and time, as far as the input records them."""
    columns: _Columns = {}
    if has_positions(plate.fields):
        for name, axis in (("Metadata_PositionX_um", 1), ("Metadata_PositionY_um", 0)):
            columns[name] = pa.float64(), partial(_position, axis)
    if any(plate.fields.values("acquisition")):
        columns["Metadata_Acquisition"] = pa.string(), lambda one, _: one.acquisition
    if any(plate.fields.values("time")):
        columns["Metadata_TimeStamp"] = pa.string(), lambda one, _: one.time
    return columns


def _position(axis: int, one: Field, _: FieldOutcome) -> float | None:
    return None if one.position_um is None else one.position_um[axis]


def _metadata(plate: Plate) -> _Columns:
    """Returns the user's columns: numbers, or texts if any value is one."""
    is_text: dict[str, bool] = {}
    for values in plate.fields.values("metadata"):
        for name, value in values:
            is_text[name] = is_text.get(name, False) or isinstance(value, str)
    return {
        name: (pa.string() if text else pa.float64(), partial(_of_user, name))
        for name, text in is_text.items()
    }


def _of_user(name: str, one: Field, _: FieldOutcome) -> str | float | None:
    return dict(one.metadata).get(name)


def _left_out(_: Field, outcome: FieldOutcome) -> int | None:
    return None if outcome.nuclei is None else outcome.left_out


def _figure(name: str, _: Field, outcome: FieldOutcome) -> float | None:
    return outcome.figures.get(name)


def has_positions(fields: Rows[Field]) -> bool:
    """Returns whether any field has a stage position."""
    return any(position is not None for position in fields.values("position_um"))
