"""Reads text tables (CSV) as spreadsheets and pipelines write them: encodings and separators.

A text is UTF-8, or UTF-16 with a byte order mark, separated by commas, semicolons or tabs.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from contextlib import suppress

from nucbatch.core.errors import InputError

NAMED_SEPARATOR = re.compile(r"sep=(.)")
"""Excel's own first line, which names the separator."""

_SEPARATORS = ",;\t"


def decoded(content: bytes) -> str:
    """Decodes UTF-8, or UTF-16 with a byte order mark.

    Raises:
        UnicodeDecodeError: the bytes are neither.
    """
    for mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        if content.startswith(mark):
            return content.decode("utf-16")
    return content.decode("utf-8-sig")


def separator_of(header: str) -> str:
    """Returns the separator that splits the header into most parts; a comma if none does."""
    if match := NAMED_SEPARATOR.fullmatch(header.strip("\r")):
        return match[1]
    return max(_SEPARATORS, key=lambda one: len(next(csv.reader([header], delimiter=one), [])))


def cells_by_separator(content: bytes, name: str) -> list[list[list[str]]]:
    """Reads the rows of cells of a table, once for each separator that it may have, the likeliest first.

    Args:
        content: bytes of the file.
        name: name of the file, for messages.

    Raises:
        InputError: the file is no text table.
    """
    if content.startswith(b"PK\x03\x04") or content.startswith(b"\xd0\xcf\x11\xe0"):
        raise InputError(f"{name} is a spreadsheet's own file: save the sheet as CSV (UTF-8).")
    try:
        text = decoded(content)
        if "\0" in text:
            raise csv.Error("it holds zero characters")
        header = text.split("\n", 1)[0]
        likeliest = separator_of(header)
        separators: list[str] = []
        if NAMED_SEPARATOR.fullmatch(header.strip("\r")):
            text = text[len(header) + 1 :]
        else:
            separators = [one for one in _SEPARATORS if one in text and one != likeliest]
        found = [_cells(text, likeliest)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{name} is no CSV in UTF-8 ({error}): save it as one.") from error
    for one in separators:
        with suppress(csv.Error):  # quotes around cells can't be read with another separator
            found.append(_cells(text, one))
    return found


def _cells(text: str, separator: str) -> list[list[str]]:
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=separator != "\t")
    return [[cell.strip() for cell in row] for row in reader]
