"""The Parquet tables: a fragment of the nuclei table per field, joined in the plate's order; the fields.

Text is text, whole numbers are int64 and measurements float64, in every fragment alike, an empty one
included. The same values give the same bytes. No time and no worker's name is in a table, so that a table
depends on images, model and parameters alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from nucbatch.core.errors import DamagedFile, InputError, StoreError
from nucbatch.core.plate import Field, Plate, projection_text
from nucbatch.store.atomic import cannot_write, replacing, write_bytes
from nucbatch.store.receipt import Receipt
from nucbatch.store.stamps import Stamp, stamp_of

Column = npt.NDArray[Any] | Sequence[Any]
Metadata = Sequence[tuple[str, str | float | None]]
"""Columns of the user's own table with a field's values: text, or a number or None."""

ROWS_PER_GROUP = 65_536
_NOTE = b"nucbatch"  # among a Parquet file's own metadata
_TEXT = ("Metadata_Plate", "Metadata_Well", "Metadata_Image")


def identity_columns(plate: str, field: Field, nuclei: int) -> dict[str, npt.NDArray[Any]]:
    """The first columns of a field's nuclei: where each is from, and its label.

    ``Metadata_Plate``, ``Metadata_Well`` (empty where there is no plate), ``Metadata_Site`` from 1,
    ``Metadata_Time`` from 0, ``Metadata_Image`` (the field's group inside the OME-Zarr),
    ``Metadata_ObjectNumber`` 1..N. Each (N,), text or int64.
    """
    return {
        "Metadata_Plate": np.full(nuclei, plate),
        "Metadata_Well": np.full(nuclei, field.well),
        "Metadata_Site": np.full(nuclei, field.site, np.int64),
        "Metadata_Time": np.full(nuclei, field.t, np.int64),
        "Metadata_Image": np.full(nuclei, field.group),
        "Metadata_ObjectNumber": np.arange(1, nuclei + 1, dtype=np.int64),
    }


def write_fragment(path: Path, columns: Mapping[str, Column], note: bytes = b"") -> None:
    """Writes one field's rows; its folder is made.

    Args:
        columns: in the table's order, all of one length, which may be 0; text, integers or floats.
        note: the field's receipt, kept beside the rows; see :func:`read_note`.

    Raises:
        InputError: columns differ in length, or one has another type.
        StoreError: the file can't be written.
    """
    arrays = {name: _arrow(name, values) for name, values in columns.items()}
    lengths = {len(array) for array in arrays.values()}
    if len(lengths) != 1:
        raise InputError(
            f"the columns of {path.name} have {sorted(lengths)} rows: they must all have as many."
        )
    sink = pa.BufferOutputStream()
    pq.write_table(_noted(pa.table(arrays), note), sink, **_PLAINLY)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path.parent, error) from error
    write_bytes(path, memoryview(sink.getvalue()), durable=False)


def write_fragments(path: Path, tables: Iterable[pa.Table], note: bytes = b"") -> None:
    """Writes the rows of a large image, holding about ROWS_PER_GROUP and one table.

    Groups are of ROWS_PER_GROUP rows, so that the bytes don't tell how the rows came.

    Raises:
        StoreError: the file can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, durable=False) as temporary:
        writer: pq.ParquetWriter | None = None
        waiting: pa.Table | None = None
        try:
            for table in tables:
                waiting = table if waiting is None else pa.concat_tables([waiting, table])
                if writer is None:
                    writer = pq.ParquetWriter(temporary, _noted(table, note).schema, **_PLAINLY)
                while waiting.num_rows >= ROWS_PER_GROUP:
                    writer.write_table(_noted(waiting.slice(0, ROWS_PER_GROUP).combine_chunks(), note))
                    waiting = waiting.slice(ROWS_PER_GROUP)
            if writer is not None and waiting is not None:
                writer.write_table(_noted(waiting.combine_chunks(), note))
        finally:
            if writer is not None:
                writer.close()


def read_note(path: Path) -> bytes:
    """What was noted in a fragment; empty if nothing was, or if the fragment can't be read."""
    try:
        return bytes((pq.read_metadata(path).metadata or {}).get(_NOTE, b""))
    except (OSError, pa.ArrowException):
        return b""


def concatenate(
    fragments: Iterable[Path],
    out: Path,
    examples: Sequence[Path] = (),
    stamps: Mapping[Path, Stamp] | None = None,
    metadata: Mapping[Path, Metadata] | None = None,
) -> int:
    """Joins fragments, in the order given, into one table, durably; returns its rows.

    Holds about ``ROWS_PER_GROUP`` rows at a time. Without any fragment the table has the identity columns
    and no rows.

    Args:
        examples: where fields differ in their channels, a fragment of each kind. The table has the columns
            of all of them, null where a field was not measured so.
        stamps: what fragments are held against when they are read.
        metadata: what a fragment's rows get besides, by column: the same columns for all of them.

    Raises:
        DamagedFile: a fragment is missing or not what was written.
        StoreError: one has other columns than the examples (without any, than the first), or the table can't
            be written.
    """
    rows = 0
    schema = pa.unify_schemas([_schema(path) for path in examples]) if examples else None
    with replacing(out) as temporary:
        writer: pq.ParquetWriter | None = None
        waiting: list[pa.Table] = []
        held = 0
        try:
            for path, table in _parts(fragments, stamps or {}):
                schema = schema or table.schema
                added = (metadata or {}).get(path, ())
                if writer is None:
                    joint = _with_metadata(schema.empty_table(), added).schema
                    writer = pq.ParquetWriter(temporary, joint, compression="zstd")
                if examples and set(table.schema).issubset(schema):
                    table = _filled(table, schema)
                elif table.schema != schema:
                    raise StoreError(
                        f"{path} has other columns than the fragments before it: it is of another version of "
                        "nucbatch or of its measurements. Begin anew with --restart."
                    )
                waiting.append(_with_metadata(table, added))
                held += table.num_rows
                if held >= ROWS_PER_GROUP:
                    writer.write_table(pa.concat_tables(waiting), row_group_size=ROWS_PER_GROUP)
                    rows, held, waiting = rows + held, 0, []
            if writer is None:
                writer = pq.ParquetWriter(temporary, _identity_schema(), compression="zstd")
                waiting = [_identity_schema().empty_table()]
            if waiting:
                writer.write_table(pa.concat_tables(waiting), row_group_size=ROWS_PER_GROUP)
        finally:
            if writer is not None:
                writer.close()
    return rows + held


def write_fields(
    path: Path,
    plate: Plate,
    receipts: Mapping[str, Receipt],
    flags: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Writes one row per field of the plate, in its order, durably.

    ``Status``: ``done`` (``Count_Nuclei`` may be 0), ``failed`` (its task could not finish), ``quarantined``
    (its files can't be used), ``pending`` (not processed yet). ``Count_Nuclei`` and the ``QC_`` columns are
    null unless done. ``Reason`` is empty for done fields. ``Flags``: what makes a count doubtful, names
    joined by "; ". ``Projection``: how several z-steps became one plane; empty for one.

    Args:
        receipts: by the field's key; fields without one are quarantined or pending.
        flags: names by the field's key; fields without any have none.
    """
    fates = [_fate(field, receipts.get(field.key)) for field in plate.fields]
    qualities = [fate[3] for fate in fates]
    columns: dict[str, pa.Array] = {
        "Metadata_Plate": pa.array([plate.name] * len(fates), pa.string()),
        "Metadata_Well": pa.array([field.well for field in plate.fields], pa.string()),
        "Metadata_Site": pa.array([field.site for field in plate.fields], pa.int64()),
        "Metadata_Time": pa.array([field.t for field in plate.fields], pa.int64()),
        "Metadata_Image": pa.array([field.group for field in plate.fields], pa.string()),
        **_metadata_columns(plate.fields),
        "Name": pa.array([field.name for field in plate.fields], pa.string()),
        "Status": pa.array([fate[0] for fate in fates], pa.string()),
        "Reason": pa.array([fate[1] for fate in fates], pa.string()),
        "Flags": pa.array(
            ["; ".join((flags or {}).get(field.key, ())) for field in plate.fields], pa.string()
        ),
        "Count_Nuclei": pa.array([fate[2] for fate in fates], pa.int64()),
        "Height_px": pa.array([field.height_px for field in plate.fields], pa.int64()),
        "Width_px": pa.array([field.width_px for field in plate.fields], pa.int64()),
        "Projection": pa.array([projection_text(field.z_steps) for field in plate.fields], pa.string()),
        "PixelSize_um": pa.array([field.pixel_size_um for field in plate.fields], pa.float64()),
    }
    for name in sorted({name for quality in qualities for name in quality}):
        columns[name] = pa.array([quality.get(name) for quality in qualities], pa.float64())
    with replacing(path) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")


def _metadata_columns(fields: Sequence[Field]) -> dict[str, pa.Array]:
    names = dict.fromkeys(name for field in fields for name, _ in field.metadata)
    columns = {name: [dict(field.metadata).get(name) for field in fields] for name in names}
    return {
        name: pa.array(values, pa.string() if any(isinstance(one, str) for one in values) else pa.float64())
        for name, values in columns.items()
    }


def _fate(field: Field, receipt: Receipt | None) -> tuple[str, str, int | None, Mapping[str, float]]:
    """Status, reason, count, quality."""
    if field.problem:
        return "quarantined", field.problem, None, {}
    if receipt is None:
        return "pending", "not processed yet", None, {}
    if receipt.status == "failed":
        return "failed", receipt.reason, None, {}
    return "done", "", receipt.nuclei, receipt.qc


def _arrow(name: str, values: Column) -> pa.Array:
    array = np.asarray(values)
    kind = array.dtype.kind
    if (
        array.ndim != 1
        or kind not in "UTOiuf"
        or (kind == "O" and not all(isinstance(v, str) for v in array))
    ):
        raise InputError(
            f"column {name} is of shape {array.shape}, {array.dtype}: it must be text or numbers, (N,)."
        )
    if kind in "iu":
        return pa.array(array.astype(np.int64))
    if kind == "f":
        return pa.array(array.astype(np.float64))
    return pa.array(array.tolist(), pa.string())


def _identity_schema() -> pa.Schema:
    names = identity_columns("", Field("", 1, 0, "", "", (), 0, 0, ""), 0)
    return pa.schema([(name, pa.string() if name in _TEXT else pa.int64()) for name in names])


def _parts(fragments: Iterable[Path], stamps: Mapping[Path, Stamp]) -> Iterator[tuple[Path, pa.Table]]:
    """Fragments, those of large images in groups of rows."""
    for path in fragments:
        try:
            if path in stamps and stamp_of(path)[0] != stamps[path]:
                raise DamagedFile.at(path, "has other bytes than were written")
            with pq.ParquetFile(path) as file:
                for group in range(max(file.num_row_groups, 1)):
                    table = file.read_row_group(group) if file.num_row_groups else file.read()
                    yield path, table.replace_schema_metadata(None)
        except DamagedFile:
            raise
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(path, error) from error


def _schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path).remove_metadata()
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _noted(table: pa.Table, note: bytes) -> pa.Table:
    return table.replace_schema_metadata({_NOTE: note} if note else None)


def _with_metadata(table: pa.Table, added: Metadata) -> pa.Table:
    """The table with a constant column for each value, after those that say where a nucleus is from."""
    for place, (name, value) in enumerate(added, start=len(_identity_schema())):
        kind = pa.string() if isinstance(value, str) else pa.float64()
        table = table.add_column(place, name, pa.repeat(pa.scalar(value, kind), table.num_rows))
    return table


def _filled(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the schema's columns in its order, null where it had none."""
    columns = [
        table[column.name] if column.name in table.column_names else pa.nulls(table.num_rows, column.type)
        for column in schema
    ]
    return pa.table(columns, schema=schema)


def read_fragment(path: Path) -> pa.Table:
    """A fragment's rows.

    Raises:
        DamagedFile: it is missing or damaged.
    """
    try:
        return pq.ParquetFile(path, page_checksum_verification=True).read().replace_schema_metadata(None)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> DamagedFile:
    return DamagedFile.at(path, f"can't be read ({error})")


# A fragment is read once, whole. Measurements hardly compress, and trying takes longer than all the rest.
_PLAINLY: dict[str, Any] = {
    "compression": "none",
    "use_dictionary": False,
    "write_statistics": False,
    "write_page_checksum": True,
}
