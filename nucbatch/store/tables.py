"""Nuclei table of a run (Parquet), which is the concatenation of its fields' fragments.

Text, booleans, integers (int64) and measurements (float64) have the same types in every fragment, including
empty ones. The same values give the same bytes. No table contains times or worker names, so it depends on
images, model and parameters only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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


def identity_columns(plate: str, field: Field, nuclei: int) -> dict[str, npt.NDArray[Any]]:
    """Returns the first columns of a field's nuclei: their origin and label.

    Args:
        plate: name of the plate.
        field: the field.
        nuclei: number of nuclei N.

    Returns:
        Columns (N,) of text or int64: ``Metadata_Plate``, ``Metadata_Well`` (empty outside a plate),
        ``Metadata_Site`` from 1, ``Metadata_Time`` from 0, ``Metadata_Image`` (the field's group inside the
        OME-Zarr), ``Metadata_ObjectNumber`` 1..N.
    """
    return {
        "Metadata_Plate": np.full(nuclei, plate),
        "Metadata_Well": np.full(nuclei, field.well),
        "Metadata_Site": np.full(nuclei, field.site, np.int64),
        "Metadata_Time": np.full(nuclei, field.t, np.int64),
        "Metadata_Image": np.full(nuclei, field.group),
        "Metadata_ObjectNumber": np.arange(1, nuclei + 1, dtype=np.int64),
    }


def concatenate(
    fragments: Iterable[Path],
    out: Path,
    examples: Sequence[Path] = (),
    stamps: Mapping[Path, Stamp] | None = None,
    metadata: Mapping[Path, Metadata] | None = None,
    not_counted: Mapping[Path, Mapping[str, npt.NDArray[np.int64]]] | None = None,
    pixel_sizes_um: Mapping[Path, float | None] | None = None,
) -> int:
    """Concatenates fragments into one table, durably, with about ROWS_PER_GROUP rows in memory.

    Without fragments the table has the identity columns and no rows.

    Args:
        fragments: in the table's order.
        out: the table's file.
        examples: one fragment of each kind, if fields differ in their channels. The table has the columns of
            all of them, null where a field lacks a measurement.
        stamps: expected stamps of the fragments.
        metadata: further columns and values for each fragment; the same columns for all.
        not_counted: object numbers of the nuclei of a fragment that don't count, by the reason. If it is
            given, the table has the columns ``Metadata_Counted`` and ``Metadata_ReasonNotCounted``.
        pixel_sizes_um: pixel size of each fragment's image. If any is known, lengths and areas of nuclei are
            there in micrometres too, null in images without a size.

    Returns:
        Number of rows.

    Raises:
        DamagedFile: a fragment is missing or does not match its stamp.
        StoreError: a fragment has other columns than the examples (without examples: than the first), or the
            table cannot be written.
    """
    rows = 0
    sizes = pixel_sizes_um if any((pixel_sizes_um or {}).values()) else None
    schema = pa.unify_schemas([schema_of(path) for path in examples]) if examples else None
    with replacing(out) as temporary:
        writer: pq.ParquetWriter | None = None
        waiting: list[pa.Table] = []
        held = joined = 0
        try:
            parts = ((path, part) for path in fragments for part in parts_of(path, (stamps or {}).get(path)))
            for path, table in parts:
                schema = schema or table.schema
                added = (metadata or {}).get(path, ())
                if writer is None:
                    joint = _with_metadata(schema.empty_table(), added)
                    joint = joint if sizes is None else _in_micrometres(joint, None)
                    joint = joint if not_counted is None else _with_counted(joint, {})
                    writer = pq.ParquetWriter(temporary, joint.schema, compression="zstd")
                if table.schema != schema:
                    if not examples or not set(table.schema).issubset(schema):
                        raise _other_columns(path)
                    table = _filled(table, schema)
                table = _with_metadata(table, added)
                table = table if sizes is None else _in_micrometres(table, sizes.get(path))
                if table.num_rows or not waiting:
                    waiting.append(
                        table if not_counted is None else _with_counted(table, not_counted.get(path, {}))
                    )
                held += table.num_rows
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


def _other_columns(path: Path) -> StoreError:
    return StoreError(
        f"{path} has other columns than the fragments before it: it was written by another version of "
        "nucbatch or of its measurements. Start over with --restart."
    )


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
