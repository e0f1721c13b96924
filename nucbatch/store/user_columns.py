"""Replaces the user's columns in the Parquet tables of a finished run, without making the tables anew."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nucbatch.core.errors import DamagedFile
from nucbatch.store.atomic import replacing

_IMAGE = "Metadata_Image"


def replace_user_columns(
    path: Path,
    old: Container[str],
    names: Sequence[str],
    values: Mapping[str, Sequence[str | float | None]],
    of_run: Container[str],
) -> None:
    """Replaces columns of nuclei.parquet or fields.parquet, with one row group in memory.

    The new columns stand behind the first ones that the run itself fills, as in a run that was begun with
    them.

    Args:
        path: the table.
        old: columns to leave out.
        names: columns to add.
        values: their values, by the image's group.
        of_run: columns that the run fills itself.

    Raises:
        DamagedFile: the table is missing or damaged. StoreError: it can't be written.
    """
    images = pa.array(list(values), pa.string())
    columns = [_column([row[index] for row in values.values()]) for index in range(len(names))]
    try:
        with pq.ParquetFile(path) as file, replacing(path) as temporary:
            writer: pq.ParquetWriter | None = None
            try:
                for group in range(max(file.num_row_groups, 1)):
                    table = file.read_row_group(group) if file.num_row_groups else file.read()
                    table = table.drop_columns([name for name in table.column_names if name in old])
                    place = next(
                        (at for at, name in enumerate(table.column_names) if name not in of_run),
                        table.num_columns,
                    )
                    rows = pc.index_in(table[_IMAGE].combine_chunks(), images)
                    for at, (name, column) in enumerate(zip(names, columns, strict=True), start=place):
                        table = table.add_column(at, name, column.take(rows))
                    if writer is None:
                        writer = pq.ParquetWriter(temporary, table.schema, compression="zstd")
                    writer.write_table(table)
            finally:
                if writer is not None:
                    writer.close()
    except (FileNotFoundError, pa.ArrowException) as error:
        raise DamagedFile.at(path, f"can't be read ({error})") from error


def _column(values: Sequence[str | float | None]) -> pa.Array:
    is_text = any(isinstance(value, str) for value in values)
    return pa.array(values, pa.string() if is_text else pa.float64())
