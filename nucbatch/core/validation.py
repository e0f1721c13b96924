"""Says in plain words what is wrong with values that pydantic refuses."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_MOST_PROBLEMS, _LONGEST_SHOWN = 10, 100
_KIND_OF_UNION = re.compile(r"(literal|constrained|function)(\[|-).*")
_UNIT = re.compile(r"_(px|um)\Z")
_MUST = "must be "
_WORDS = {
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "finite_number": "must be a finite number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be a text",
    "extra_forbidden": "is not known",
    "missing": "is missing",
}
"""The message for each kind of error. For other kinds, pydantic's own message is shown."""


def validation_problems(error: ValidationError, named: Callable[[str], str] = str) -> str:
    """Returns name, value and allowed range of each invalid value, at most ten.

    Args:
        error: pydantic's.
        named: the name to show for a path such as ``objects.min_area_px``.
    """
    problems: dict[str, list[str]] = {}
    for problem in error.errors():
        problems.setdefault(_subject(problem, named), []).append(_said(problem))
    shown = [_sentence(subject, said) for subject, said in list(problems.items())[:_MOST_PROBLEMS]]
    more = len(problems) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def option_name(path: str) -> str:
    """Returns the name that a user gives to a setting: without the group and the unit.

    >>> option_name("counted.min_area_px"), option_name("diameter_px")
    ('min_area', 'diameter')
    """
    return _UNIT.sub("", path.rsplit(".", 1)[-1])


def _subject(problem: ErrorDetails, named: Callable[[str], str]) -> str:
    """Name and value; empty for a sentence about several values, which names them."""
    if problem["type"] == "value_error" and isinstance(problem["input"], Mapping):
        return ""
    # A value of several types has a problem for each type, whose name pydantic adds to the path.
    parts = [part for part in map(str, problem["loc"]) if not _KIND_OF_UNION.fullmatch(part)]
    name = _short(named(".".join(parts) or "the whole"))
    return name if problem["type"] == "missing" else f"{name} = {_short(repr(problem['input']))}"


def _said(problem: ErrorDetails) -> str:
    words = _WORDS.get(problem["type"])
    if words is not None:
        bounds = problem.get("ctx", {})
        plain = {name: f"{end:g}" if isinstance(end, float) else end for name, end in bounds.items()}
        return words.format(**plain)
    return problem["msg"].removeprefix("Value error, ")


def _sentence(subject: str, said: list[str]) -> str:
    if not subject:
        return "; ".join(said)
    first, *others = dict.fromkeys(said)
    said_of_it = " or ".join([first, *(other.removeprefix(_MUST) for other in others)])
    return subject + (" " if first.startswith((_MUST, "is ")) else ": ") + said_of_it


def _short(text: str) -> str:
    """Truncates a text from an untrusted file for a message."""
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
