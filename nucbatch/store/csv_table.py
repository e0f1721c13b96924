"""Nuclei table as CSV, written in parts of about ROWS_PER_GROUP rows.

As in the other CSV files of a run, text that a spreadsheet would run as a formula gets a leading apostrophe,
missing values are empty, and numbers have the fewest digits that read back as the same number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from nucbatch.core.errors import DamagedFile
from nucbatch.store.atomic import replacing
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.sheets import neutral


def row_groups(path: Path) -> Iterator[pa.Table]:
    """Yields a Parquet table in its row groups; at least one, which may be empty.

    Raises:
        DamagedFile: the file can't be read.
    """
    try:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group).replace_schema_metadata(None)
            if not file.num_row_groups:
                yield file.read().replace_schema_metadata(None)
    except (OSError, pa.ArrowException) as error:
        raise DamagedFile.at(path, f"can't be read ({error})") from error


def write_nuclei_csv(folder: RunFolder, *, wanted: bool) -> None:
    """Writes a run's table of nuclei as CSV too, or removes an outdated one if it is not wanted.

    Raises:
        StoreError: the table can't be read, or the file can't be written.
    """
    if wanted:
        write_csv(folder.nuclei_csv, row_groups(folder.nuclei))
    else:
        folder.nuclei_csv.unlink(missing_ok=True)


def write_csv(
    path: Path, tables: Iterable[pa.Table], choose: Callable[[pa.Table], pa.Table] | None = None
) -> int:
    """Writes consecutive parts of a table as CSV, durably; returns the number of rows.

    Args:
        path: the file.
        tables: the parts; all have the columns of the first.
        choose: selects the rows to write; None for all.

    Raises:
        StoreError: the file can't be written.
    """
    rows = 0
    options = pyarrow.csv.WriteOptions(quoting_style="needed")
    with replacing(path) as temporary:
        writer: pyarrow.csv.CSVWriter | None = None
        try:
            for table in tables:
                shown = _shown(table if choose is None else choose(table))
                if writer is None:
                    writer = pyarrow.csv.CSVWriter(temporary, shown.schema, write_options=options)
                writer.write_table(shown)
                rows += shown.num_rows
        finally:
            if writer is not None:
                writer.close()
    return rows


def _shown(table: pa.Table) -> pa.Table:
    """Returns the table with neutral text, and nulls for NaN."""
    columns = []
    for column in table.columns:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            known = column.combine_chunks().dictionary_encode()
            words = pa.array([neutral(word) for word in known.dictionary.to_pylist()], pa.string())
            columns.append(words.take(known.indices))
        elif pa.types.is_floating(column.type):
            columns.append(pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column))
        else:
            columns.append(column)
    return pa.table(columns, names=[str(neutral(name)) for name in table.column_names])
