"""Nuclei table of a run (Parquet): one fragment per field, and their concatenation.

Text, booleans, integers (int64) and measurements (float64) have the same types in every fragment, including
empty ones. The same values give the same bytes. No table contains times or worker names, so it depends on
images, model and parameters only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nucbatch.core.errors import DamagedFile, InputError, StoreError
from nucbatch.core.micrometres import twins
from nucbatch.core.plate import Field
from nucbatch.store.atomic import replacing, write_bytes
from nucbatch.store.stamps import Stamp, stamp_of

Column = npt.NDArray[Any] | Sequence[Any]
Metadata = Sequence[tuple[str, str | float | None]]
"""(column, value) from the user's own table for a field; a value is text, a number or None."""

COUNTED = "Metadata_Counted"
"""Column of nuclei.parquet: whether the nucleus counts in its field."""

REASON = "Metadata_ReasonNotCounted"
"""Column of nuclei.parquet: why it does not; empty if it counts."""

ROWS_PER_GROUP = 65_536
_NOTE = b"nucbatch"  # key in the Parquet file's metadata
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


def write_fragment(path: Path, columns: Mapping[str, Column], note: bytes = b"") -> None:
    """Writes the rows of one field; missing folders are created.

    Args:
        path: the file.
        columns: in the table's order, all (N,) with the same N, which may be 0; text, integers or floats.
        note: the field's receipt, stored in the file's metadata; see :func:`read_note`.

    Raises:
        InputError: columns differ in length, or a column has another type.
        StoreError: the file cannot be written.
    """
    arrays = {name: _arrow(name, values) for name, values in columns.items()}
    lengths = {len(array) for array in arrays.values()}
    if len(lengths) != 1:
        raise InputError(
            f"the columns of {path.name} have {sorted(lengths)} rows: all must have the same number."
        )
    sink = pa.BufferOutputStream()
    pq.write_table(_noted(pa.table(arrays), note), sink, **_PLAINLY)
    write_bytes(path, memoryview(sink.getvalue()), durable=False, folders=True)


def write_fragments(path: Path, tables: Iterable[pa.Table], note: bytes = b"") -> None:
    """Writes the rows of a large image, with about ROWS_PER_GROUP rows and one table in memory.

    Row groups have ROWS_PER_GROUP rows, so the bytes do not depend on how the rows were divided into tables.

    Args:
        path: the file; missing folders are created.
        tables: consecutive rows of the image.
        note: the image's receipt; see :func:`read_note`.

    Raises:
        StoreError: the file cannot be written.
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
    """Reads the note of a fragment; empty if there is none or the fragment cannot be read."""
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
                    joint = _with_metadata(schema.empty_table(), added)
                    joint = joint if sizes is None else _in_micrometres(joint, None)
                    joint = joint if not_counted is None else _with_counted(joint, {})
                    writer = pq.ParquetWriter(temporary, joint.schema, compression="zstd")
                if examples and set(table.schema).issubset(schema):
                    table = _filled(table, schema)
                elif table.schema != schema:
                    raise StoreError(
                        f"{path} has other columns than the fragments before it: it was written by another "
                        "version of nucbatch or of its measurements. Start over with --restart."
                    )
                table = _with_metadata(table, added)
                table = table if sizes is None else _in_micrometres(table, sizes.get(path))
                waiting.append(
                    table if not_counted is None else _with_counted(table, not_counted.get(path, {}))
                )
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


def _arrow(name: str, values: Column) -> pa.Array:
    array = np.asarray(values)
    kind = array.dtype.kind
    if (
        array.ndim != 1
        or kind not in "UTObiuf"
        or (kind == "O" and not all(isinstance(v, str) for v in array))
    ):
        raise InputError(
            f"column {name} has shape {array.shape} and type {array.dtype}: it must be text or numbers, (N,)."
        )
    if kind == "b":
        return pa.array(array)
    if kind in "iu":
        return pa.array(array.astype(np.int64))
    if kind == "f":
        return pa.array(array.astype(np.float64))
    return pa.array(array.tolist(), pa.string())


def _identity_schema() -> pa.Schema:
    names = identity_columns("", Field("", 1, 0, "", "", (), 0, 0, ""), 0)
    return pa.schema([(name, pa.string() if name in _TEXT else pa.int64()) for name in names])


def _parts(fragments: Iterable[Path], stamps: Mapping[Path, Stamp]) -> Iterator[tuple[Path, pa.Table]]:
    """Yields the tables of fragments; fragments of large images come in row groups."""
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


def read_fragment(path: Path) -> pa.Table:
    """Reads the rows of a fragment.

    Raises:
        DamagedFile: the fragment is missing or damaged.
    """
    try:
        return pq.ParquetFile(path, page_checksum_verification=True).read().replace_schema_metadata(None)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def read_columns(path: Path, names: Sequence[str]) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """Yields some columns (N,) of a fragment, in parts of about ROWS_PER_GROUP rows, at least one.

    Raises:
        DamagedFile: the fragment is missing or damaged.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for group in range(max(file.num_row_groups, 1)):
                table = file.read_row_group(group, names) if file.num_row_groups else file.read(names)
                yield {name: table[name].to_numpy() for name in names}
    except (OSError, pa.ArrowException, KeyError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> DamagedFile:
    return DamagedFile.at(path, f"can't be read ({error})")


# Each fragment is read once, as a whole. Compression saves little and takes longer than all the rest.
_PLAINLY: dict[str, Any] = {
    "compression": "none",
    "use_dictionary": False,
    "write_statistics": False,
    "write_page_checksum": True,
}
