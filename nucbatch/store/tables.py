"""Nuclei table of a run (Parquet), which is the concatenation of its fields' fragments.

Text, booleans, integers (int64) and measurements (float64) have the same types in every fragment, including
empty ones. The same values give the same bytes. No table contains times or worker names, so it depends on
images, model and parameters only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nucbatch.core.errors import StoreError
from nucbatch.core.micrometres import twins
from nucbatch.core.plate import Field
from nucbatch.store.atomic import replacing
from nucbatch.store.fragments import ROWS_PER_GROUP, parts_of, schema_of
from nucbatch.store.stamps import Stamp

Metadata = Sequence[tuple[str, str | float | None]]
"""(column, value) from the user's own table for a field; a value is text, a number or None."""

COUNTED = "Metadata_Counted"
"""Column of nuclei.parquet: whether the nucleus counts in its field."""

REASON = "Metadata_ReasonNotCounted"
"""Column of nuclei.parquet: why it does not; empty if it counts."""

_SMALL_TABLES = 64
"""Tables of fields that wait for a full row group: a table of few nuclei takes 60 kB, so these are joined."""

_TEXT = ("Metadata_Plate", "Metadata_Well", "Metadata_Image")


def identity_columns(plate: str, one: Field, nuclei: int) -> dict[str, npt.NDArray[Any]]:
    """Returns the first columns of a field's nuclei: their origin and label.

    Args:
        plate: name of the plate.
        one: the field.
        nuclei: number of nuclei N.

    Returns:
        Columns (N,) of text or int64: ``Metadata_Plate``, ``Metadata_Well`` (empty outside a plate),
        ``Metadata_Site`` from 1, ``Metadata_Time`` from 0, ``Metadata_Image`` (the field's group inside the
        OME-Zarr), ``Metadata_ObjectNumber`` 1..N.
    """
    return {
        "Metadata_Plate": np.full(nuclei, plate),
        "Metadata_Well": np.full(nuclei, one.well),
        "Metadata_Site": np.full(nuclei, one.site, np.int64),
        "Metadata_Time": np.full(nuclei, one.t, np.int64),
        "Metadata_Image": np.full(nuclei, one.group),
        "Metadata_ObjectNumber": np.arange(1, nuclei + 1, dtype=np.int64),
    }


@dataclass(frozen=True, slots=True)
class FieldRows:
    """A field's rows of the table: its fragment, and what the table adds to it.

    Attributes:
        path: the fragment.
        stamp: its expected stamp; None: it is checked by its own checksums.
        metadata: further columns and their values; all fields have the same columns.
        not_counted: object numbers of the nuclei that don't count, by the reason.
        pixel_size_um: of the field's image; None if unknown.
    """

    path: Path
    stamp: Stamp | None = None
    metadata: Metadata = ()
    not_counted: Mapping[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    pixel_size_um: float | None = None


def concatenate(
    fields: Iterable[FieldRows],
    out: Path,
    examples: Sequence[Path] = (),
    *,
    marked: bool = False,
    in_micrometres: bool = False,
) -> int:
    """Concatenates fragments into one table, durably, with about ROWS_PER_GROUP rows in memory.

    Without fragments the table has the identity columns and no rows.

    Args:
        fields: in the table's order.
        out: the table's file.
        examples: one fragment of each kind, if fields differ in their channels. The table has the columns of
            all of them, null where a field lacks a measurement.
        marked: whether the table has the columns ``Metadata_Counted`` and ``Metadata_ReasonNotCounted``.
        in_micrometres: whether lengths and areas of nuclei are there in micrometres too, null in images
            without a pixel size.

    Returns:
        Number of rows.

    Raises:
        DamagedFile: a fragment is missing or does not match its stamp.
        StoreError: a fragment has other columns than the examples (without examples: than the first), or the
            table cannot be written.
    """
    rows = 0
    schema = pa.unify_schemas([schema_of(path) for path in examples]) if examples else None
    with replacing(out) as temporary:
        writer: pq.ParquetWriter | None = None
        waiting: list[pa.Table] = []
        held = joined = 0
        try:
            parts = ((one, part) for one in fields for part in parts_of(one.path, one.stamp))
            for own, table in parts:
                schema = schema or table.schema
                if table.schema != schema:
                    if not examples or not set(table.schema).issubset(schema):
                        raise _other_columns(own.path)
                    table = _filled(table, schema)
                added = _with_additions(table, own, marked, in_micrometres)
                if writer is None:
                    writer = pq.ParquetWriter(temporary, added.schema, compression="zstd")
                if added.num_rows or not waiting:
                    waiting.append(added)
                held += added.num_rows
                if len(waiting) - joined >= _SMALL_TABLES:
                    waiting[joined:] = [pa.concat_tables(waiting[joined:]).combine_chunks()]
                    joined += 1
                if held >= ROWS_PER_GROUP:
                    writer.write_table(pa.concat_tables(waiting), row_group_size=ROWS_PER_GROUP)
                    rows, held, waiting, joined = rows + held, 0, [], 0
            if writer is None:
                writer = pq.ParquetWriter(temporary, _identity_schema(), compression="zstd")
                waiting = [_identity_schema().empty_table()]
            if waiting:
                writer.write_table(pa.concat_tables(waiting), row_group_size=ROWS_PER_GROUP)
        finally:
            if writer is not None:
                writer.close()
    return rows + held


def _with_additions(table: pa.Table, one: FieldRows, marked: bool, in_micrometres: bool) -> pa.Table:
    table = _with_metadata(table, one.metadata)
    table = _in_micrometres(table, one.pixel_size_um) if in_micrometres else table
    return _with_counted(table, one.not_counted) if marked else table


def _other_columns(path: Path) -> StoreError:
    return StoreError(
        f"{path} has other columns than the fragments before it: it was written by another version of "
        "nucbatch or of its measurements. Start over with --restart."
    )


@cache
def _identity_schema() -> pa.Schema:
    names = identity_columns("", Field("", 1, 0, "", "", (), 0, 0, ""), 0)
    return pa.schema([(name, pa.string() if name in _TEXT else pa.int64()) for name in names])


def _with_metadata(table: pa.Table, added: Metadata) -> pa.Table:
    """Inserts a constant column for each value after the identity columns."""
    for place, (name, value) in enumerate(added, start=len(_identity_schema())):
        kind = pa.string() if isinstance(value, str) else pa.float64()
        table = table.add_column(place, name, pa.repeat(pa.scalar(value, kind), table.num_rows))
    return table


def _in_micrometres(table: pa.Table, pixel_size_um: float | None) -> pa.Table:
    """Inserts behind each length and area in pixels the same in micrometres; null without a pixel size."""
    for name, (twin, power) in twins(table.column_names).items():
        factor = pa.scalar(None if pixel_size_um is None else pixel_size_um**power, pa.float64())
        values = pc.multiply(table[name].cast(pa.float64()), factor)
        table = table.add_column(table.column_names.index(name) + 1, twin, values)
    return table


def _with_counted(table: pa.Table, reasons: Mapping[str, npt.NDArray[np.int64]]) -> pa.Table:
    """Inserts ``Metadata_Counted`` and ``Metadata_ReasonNotCounted`` after the identity columns."""
    numbers = table["Metadata_ObjectNumber"].to_numpy()
    texts = np.full(len(numbers), "", object)
    for reason, own in reasons.items():
        chosen = np.isin(numbers, own)
        texts[chosen] = [f"{before}; {reason}" if before else reason for before in texts[chosen]]
    place = len(_identity_schema())
    table = table.add_column(place, REASON, pa.array(texts, pa.string()))
    return table.add_column(place, COUNTED, pa.array(texts == ""))


def _filled(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Arranges a table by the schema, with nulls for missing columns."""
    columns = [
        table[column.name] if column.name in table.column_names else pa.nulls(table.num_rows, column.type)
        for column in schema
    ]
    return pa.table(columns, schema=schema)
