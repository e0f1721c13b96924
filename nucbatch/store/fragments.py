"""Table fragments: the rows of one field, with the receipt of all that its task wrote.

A field's fragment is a stream in Arrow's IPC format, then the CRC-32C of its bytes; readers of Arrow stop
where the stream ends. For a hundred columns of a few hundred rows, Parquet takes ten times as long to write
and to read. A large image's fragment is Parquet, because it is written in parts and read by column. So are
those of earlier versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from nucbatch.core.errors import DamagedFile, InputError
from nucbatch.store.atomic import replacing, write_bytes
from nucbatch.store.stamps import Stamp, stamp_of, stamp_of_bytes

Column = npt.NDArray[Any] | Sequence[Any]

ROWS_PER_GROUP = 65_536
_NOTE = b"nucbatch"  # key in the metadata of the schema
_PARQUET = b"PAR1"  # a Parquet file begins with it, and Arrow's stream with four bytes of ones
_CRC_BYTES = 4


def write_fragment(path: Path, columns: Mapping[str, Column], note: bytes = b"") -> Stamp:
    """Writes the rows of one field; missing folders are created.

    Returns the file's stamp.

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
    batch = pa.RecordBatch.from_arrays(list(arrays.values()), list(arrays), metadata=_metadata(note))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    body = sink.getvalue().to_pybytes()
    content = body + _checksum(body)
    write_bytes(path, content, durable=False, folders=True)
    return stamp_of_bytes(content)


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
                    writer = pq.ParquetWriter(
                        temporary, table.schema.with_metadata(_metadata(note)), **_PLAINLY
                    )
                while waiting.num_rows >= ROWS_PER_GROUP:
                    writer.write_table(waiting.slice(0, ROWS_PER_GROUP).combine_chunks())
                    waiting = waiting.slice(ROWS_PER_GROUP)
            if writer is not None and waiting is not None:
                writer.write_table(waiting.combine_chunks())
        finally:
            if writer is not None:
                writer.close()


def read_note(path: Path) -> bytes:
    """Reads the note of a fragment; empty if there is none or the fragment cannot be read."""
    try:
        return bytes((_schema(path).metadata or {}).get(_NOTE, b""))
    except (OSError, pa.ArrowException):
        return b""


def schema_of(path: Path) -> pa.Schema:
    """Reads the names and types of a fragment's columns.

    Raises:
        DamagedFile: the fragment is missing or damaged.
    """
    try:
        return _schema(path).remove_metadata()
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def read_fragment(path: Path) -> pa.Table:
    """Reads the rows of a fragment.

    Raises:
        DamagedFile: the fragment is missing or damaged.
    """
    return pa.concat_tables(parts_of(path))


def read_columns(path: Path, names: Sequence[str]) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """Yields some columns (N,) of a fragment, in parts of about ROWS_PER_GROUP rows, at least one.

    Raises:
        DamagedFile: the fragment is missing or damaged.
    """
    for part in parts_of(path, names=names):
        yield {name: part[name].to_numpy() for name in names}


def parts_of(
    path: Path, stamp: Stamp | None = None, names: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """Yields the rows of a fragment, in parts of about ROWS_PER_GROUP rows, at least one.

    Args:
        path: the fragment.
        stamp: its expected stamp; None checks the file by its own checksums.
        names: columns to read; None for all.

    Raises:
        DamagedFile: the fragment is missing or damaged, does not match the stamp, or lacks a column.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(_PARQUET)) != _PARQUET:
                file.seek(0)
                yield _rows(path, file.read(), stamp, names)
                return
        if stamp is not None and stamp_of(path)[0] != stamp:
            raise _changed(path)
        with pq.ParquetFile(path, page_checksum_verification=stamp is None) as parquet:
            for group in range(max(parquet.num_row_groups, 1)):
                part = parquet.read_row_group(group, names) if parquet.num_row_groups else parquet.read(names)
                yield part.select(names or part.column_names).replace_schema_metadata(None)
    except DamagedFile:
        raise
    except (OSError, pa.ArrowException, KeyError) as error:
        raise _unreadable(path, error) from error


def _rows(path: Path, content: bytes, stamp: Stamp | None, names: Sequence[str] | None) -> pa.Table:
    """Reads the rows of a field from the bytes of its fragment."""
    if stamp is not None and stamp != stamp_of_bytes(content):
        raise _changed(path)
    body = content[:-_CRC_BYTES]
    if stamp is None and _checksum(body) != content[-_CRC_BYTES:]:
        raise DamagedFile.at(path, f"can't be read (the checksum of its {len(content)} bytes does not match)")
    table = pa.ipc.open_stream(body).read_all()
    return table.select(names or table.column_names).replace_schema_metadata(None)


def _schema(path: Path) -> pa.Schema:
    with pa.OSFile(str(path)) as file:
        if file.read(len(_PARQUET)) == _PARQUET:
            return pq.read_schema(path)
        file.seek(0)
        return pa.ipc.open_stream(file).schema


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
        return pa.array(np.asarray(array, np.int64))
    if kind == "f":
        return pa.array(np.asarray(array, np.float64))
    return pa.array(array.tolist(), pa.string())


def _metadata(note: bytes) -> dict[bytes, bytes] | None:
    return {_NOTE: note} if note else None


def _checksum(body: bytes) -> bytes:
    return int(google_crc32c.value(body)).to_bytes(_CRC_BYTES, "little")


def _changed(path: Path) -> DamagedFile:
    return DamagedFile.at(path, "has other bytes than were written")


def _unreadable(path: Path, error: Exception) -> DamagedFile:
    return DamagedFile.at(path, f"can't be read ({error})")


# Compression saves little and takes longer than all the rest.
_PLAINLY: dict[str, Any] = {
    "compression": "none",
    "use_dictionary": False,
    "write_statistics": False,
    "write_page_checksum": True,
}
