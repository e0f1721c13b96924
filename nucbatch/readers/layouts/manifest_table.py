"""Reads the table of a manifest into rows by column, as written by spreadsheets or pipelines.

The table is a text, or Parquet as in the JUMP datasets of the Cell Painting Gallery. A text is UTF-8, or
UTF-16 with a byte order mark, separated by commas, semicolons or tabs. Empty rows are skipped. CellProfiler's
own columns are recognised in any case and with a leading ``Image_``.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nucbatch.core.errors import InputError
from nucbatch.core.text_table import NAMED_SEPARATOR, decoded, separator_of
from nucbatch.object_store import ObjectPath

Value = str | float | None
"""Value of a metadata column: text (may be empty), or a number (None if missing)."""

OWN_METADATA = (
    "Metadata_Plate",
    "Metadata_Well",
    "Metadata_Site",
    "Metadata_Time",
    "Metadata_Image",
    "Metadata_ObjectNumber",
    "Metadata_PixelSize_um",
)
"""Columns that a run's tables fill themselves."""

_OF_IMAGES = re.compile(r"(?:Image_)?(FileName|PathName|URL|Frame|Series)_(.+)", re.IGNORECASE)
_KINDS = {kind.casefold(): kind for kind in ("FileName", "PathName", "URL", "Frame", "Series")}
# A leading zero makes it a text, such as a barcode.
_NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?(?:[eE][-+]?[0-9]{1,2})?")


@dataclass(frozen=True, slots=True)
class Row:
    """Row of the table.

    Attributes:
        number: number of the line below the header, from 1, empty lines included.
        values: text by column.
    """

    number: int
    values: dict[str, str]

    def get(self, *columns: str) -> str:
        """Returns the first non-empty value of these columns, stripped."""
        return next(filter(None, (self.values.get(column, "").strip() for column in columns)), "")


def read_rows(path: Path) -> list[Row]:
    """Reads the non-empty rows of a table.

    Raises:
        InputError: the file cannot be read, is not such a table, or has no rows.
    """
    rows = _parquet_rows(path) if path.suffix.lower() == ".parquet" else _text_rows(path)
    rows = [row for row in rows if any(value.strip() for value in row.values.values())]
    if not rows:
        raise InputError(f"{path.name} has no rows: one row per field, below a line of column names.")
    return rows


def _parquet_rows(path: Path) -> list[Row]:
    """Reads all values as text, as they would stand in a CSV."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        source = io.BytesIO(path.read_bytes()) if isinstance(path, ObjectPath) else path
        table = pq.ParquetFile(source).read()
        columns = {
            column_name(name): [_as_text(value) for value in table.column(index).to_pylist()]
            for index, name in enumerate(table.column_names)
        }
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path.name} can't be read as Parquet ({error}): save it as CSV.") from error
    return [
        Row(number, dict(zip(columns, values, strict=True)))
        for number, values in enumerate(zip(*columns.values(), strict=True), start=1)
    ]


def _as_text(value: object) -> str:
    """Formats a value; missing ones, among them NaN, are empty."""
    return "" if value is None or value != value else str(value)


def _text_rows(path: Path) -> list[Row]:
    try:
        text = decoded(path.read_bytes())
        if "\0" in text:
            raise csv.Error("it holds zero characters")
        header = text.split("\n", 1)[0]
        separator = separator_of(header)
        if NAMED_SEPARATOR.fullmatch(header.strip("\r")):
            text = text[len(header) + 1 :]
        lines = io.StringIO(text, newline="")
        reader = csv.DictReader(lines, delimiter=separator, restval="", restkey="", strict=True)
        return [
            Row(number, {column_name(key): value for key, value in row.items() if key})
            for number, row in enumerate(reader, start=1)
        ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path.name} is no CSV in UTF-8 ({error}): save it as one.") from error
    except OSError as error:
        raise InputError(f"{path.name} can't be read ({error.strerror}): check its permissions.") from error


def column_name(written: str) -> str:
    """Normalises a column name.

    >>> column_name("Image_filename_DNA"), column_name("metadata_well")
    ('FileName_DNA', 'Metadata_Well')
    """
    name = written.strip()
    if match := _OF_IMAGES.fullmatch(name):
        return f"{_KINDS[match[1].casefold()]}_{match[2]}"
    if name.casefold().startswith("metadata_"):
        rest = name[len("metadata_") :]
        return "Metadata_" + (rest[:1].upper() + rest[1:] if rest.islower() else rest)
    return name


def metadata_columns(rows: Sequence[Row]) -> dict[str, list[Value]]:
    """Returns the values, row by row, of every ``Metadata_`` column that is not in :data:`OWN_METADATA`.

    A column is numeric if all of its values are numbers, and text otherwise. Empty columns are left out.
    """
    names = [name for name in rows[0].values if name.startswith("Metadata_") and name not in OWN_METADATA]
    columns: dict[str, list[Value]] = {}
    for name in names:
        texts = [row.get(name) for row in rows]
        if all(_NUMBER.fullmatch(text) for text in texts if text):
            columns[name] = [float(text) if text else None for text in texts]
        else:
            columns[name] = list(texts)
        if not any(texts):
            del columns[name]
    return columns
