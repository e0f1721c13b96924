"""Turns the texts of a table's columns into numbers or texts.

A column is numeric if all of its values are numbers; empty cells and NA are then missing. Numbers with a
leading zero stay texts (barcodes). Decimal commas are read where the column shows that they are no thousands
separators; what could be either is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from nucbatch.core.errors import InputError

Value = str | float | None
"""Text, which may be empty, or a number; None is a missing number."""

_NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,17})?(?:[eE][-+]?[0-9]{1,2})?")
_COMMA = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,14}),[0-9]{1,17}(?:[eE][-+]?[0-9]{1,2})?")
_THOUSANDS = re.compile(r"[-+]?[1-9][0-9]{0,2}(?:,[0-9]{3})+")
_MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "-"})


def column_values(columns: Mapping[str, Sequence[str]], table: str) -> dict[str, list[Value]]:
    """Returns the values of each column, as numbers where all of them are numbers.

    >>> column_values({"Dose": ["0,5", "10", ""], "Compound": ["LY", "", "NA"]}, "map.csv")
    {'Dose': [0.5, 10.0, None], 'Compound': ['LY', '', 'NA']}

    Args:
        columns: stripped texts, row by row.
        table: name of the table, for messages.

    Raises:
        InputError: decimal commas and points in one table, or commas that may separate thousands.
    """
    values = {name: _values(name, texts, table) for name, texts in columns.items()}
    commas = [name for name, texts in columns.items() if _is_numeric(values[name]) and _any(_COMMA, texts)]
    points = [
        name
        for name, texts in columns.items()
        if _is_numeric(values[name]) and any("." in text for text in texts)
    ]
    if commas and points:
        raise InputError(
            f"{table} has numbers with decimal commas (in {commas[0]}) and with points (in {points[0]}): "
            "write all of them with points."
        )
    return values


def number_of(text: str) -> float | None:
    """Returns the number that a text is, with a decimal point; None for anything else."""
    return float(text) if _NUMBER.fullmatch(text.strip()) else None


def _values(name: str, texts: Sequence[str], table: str) -> list[Value]:
    present = [text for text in texts if text.casefold() not in _MISSING]
    plain = [text for text in present if _NUMBER.fullmatch(text)]
    commas = [text for text in present if _COMMA.fullmatch(text) or _THOUSANDS.fullmatch(text)]
    if not present or len(plain) + len(commas) < len(present):
        return list(texts)
    if commas and all(_THOUSANDS.fullmatch(text) for text in commas):
        raise InputError(
            f"{table}, column {name}: {commas[0]!r} may be {commas[0].replace(',', '')} or, with a decimal "
            f"comma, {commas[0].replace(',', '.')}. Write numbers with a decimal point and nothing between "
            "thousands."
        )
    if not all(_COMMA.fullmatch(text) for text in commas) or (commas and any("." in text for text in plain)):
        raise InputError(
            f"{table}, column {name}: {commas[0]!r} has a comma, and other numbers there are written in "
            "another way. Write all numbers with a decimal point."
        )
    kept = {*plain, *commas}
    return [float(text.replace(",", ".")) if text in kept else None for text in texts]


def _is_numeric(values: Sequence[Value]) -> bool:
    return not any(isinstance(value, str) for value in values)


def _any(pattern: re.Pattern[str], texts: Sequence[str]) -> bool:
    return any(pattern.fullmatch(text) for text in texts)
