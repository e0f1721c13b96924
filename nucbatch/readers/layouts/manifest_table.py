"""The table of a manifest: its rows by column, however a spreadsheet or a pipeline wrote them.

UTF-8, or UTF-16 with a byte order mark; separated by commas, semicolons or tabs. Rows without any value are
left out. CellProfiler's own columns are known whatever their case and with ``Image_`` in front.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nucbatch.core.errors import InputError

Value = str | float | None
"""A value of a metadata column: text (may be empty), or a number (None where there is none)."""

OWN_METADATA = (
    "Metadata_Plate",
    "Metadata_Well",
    "Metadata_Site",
    "Metadata_Time",
    "Metadata_Image",
    "Metadata_ObjectNumber",
    "Metadata_PixelSize_um",
)
"""The columns of this name in a run's tables are the run's own."""

_SEPARATORS = ",;\t"
_NAMED_SEPARATOR = re.compile(r"sep=(.)")  # Excel's own first line
_OF_IMAGES = re.compile(r"(?:Image_)?(FileName|PathName|URL|Frame|Series)_(.+)", re.IGNORECASE)
_KINDS = {kind.casefold(): kind for kind in ("FileName", "PathName", "URL", "Frame", "Series")}
# a leading zero makes a text: it belongs to a barcode, not to a quantity
_NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?(?:[eE][-+]?[0-9]{1,2})?")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. ``number`` counts the lines below the header from 1, empty ones too."""

    number: int
    values: dict[str, str]

    def get(self, *columns: str) -> str:
        """The first of the columns' values that is not empty, without blanks around it."""
        return next(filter(None, (self.values.get(column, "").strip() for column in columns)), "")


def read_rows(path: Path) -> list[Row]:
    """The rows of a table that hold a value.

    Raises:
        InputError: it can't be read, is no such table, or has no rows.
    """
    try:
        text = _decoded(path.read_bytes())
        if "\0" in text:
            raise csv.Error("it holds zero characters")
        header = text.split("\n", 1)[0]
        separator = _separator(header)
        if _NAMED_SEPARATOR.fullmatch(header.strip("\r")):
            text = text[len(header) + 1 :]
        lines = io.StringIO(text, newline="")
        reader = csv.DictReader(lines, delimiter=separator, restval="", restkey="", strict=True)
        rows = [
            Row(number, {column_name(key): value for key, value in row.items() if key})
            for number, row in enumerate(reader, start=1)
        ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path.name} is no CSV in UTF-8 ({error}): save it as one.") from error
    except OSError as error:
        raise InputError(f"{path.name} can't be read ({error.strerror}): check its permissions.") from error
    rows = [row for row in rows if any(value.strip() for value in row.values.values())]
    if not rows:
        raise InputError(f"{path.name} has no rows: one row per field, below a line of column names.")
    return rows


def column_name(written: str) -> str:
    """The column's name: ``Image_filename_DNA`` → ``FileName_DNA``, ``metadata_well`` → ``Metadata_Well``."""
    name = written.strip()
    if match := _OF_IMAGES.fullmatch(name):
        return f"{_KINDS[match[1].casefold()]}_{match[2]}"
    if name.casefold().startswith("metadata_"):
        rest = name[len("metadata_") :]
        return "Metadata_" + (rest[:1].upper() + rest[1:] if rest.islower() else rest)
    return name


def metadata_columns(rows: Sequence[Row]) -> dict[str, list[Value]]:
    """The values of every ``Metadata_`` column that a run's tables don't fill by themselves, row by row.

    A column is numbers where each of its values is one, and text otherwise; one without a value is left out.
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


def _decoded(content: bytes) -> str:
    for mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        if content.startswith(mark):
            return content.decode("utf-16")
    return content.decode("utf-8-sig")


def _separator(header: str) -> str:
    """The separator that divides the line of column names into most parts; a comma where none does."""
    if match := _NAMED_SEPARATOR.fullmatch(header.strip("\r")):
        return match[1]
    return max(_SEPARATORS, key=lambda one: len(next(csv.reader([header], delimiter=one), [])))
