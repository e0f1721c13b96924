"""``--wells``, ``--sites`` and ``--times``: the part of the input that a command is about."""

from __future__ import annotations

from functools import wraps
from typing import Any

from nucbatch.cli.headings import Command, headed, option
from nucbatch.core.selection import Selection

_OPTIONS = (
    option(
        "--wells",
        default="",
        metavar="LIST",
        help="Wells to process: wells, ranges along a row or of a rectangle, rows, columns: "
        "B02,C03-C10,E05-F08,H,12. The rest can follow later in the same folder. [default: all]",
    ),
    option(
        "--sites",
        default="",
        metavar="LIST",
        help="Sites to process, from 1 as in the tables: 1,3-6. [default: all]",
    ),
    option(
        "--times",
        default="",
        metavar="LIST",
        help="Time points to process, from 0 as in the tables: 0,5-9. [default: all]",
    ),
)


def selection_options(command: Command) -> Command:
    """Adds ``--wells``, ``--sites`` and ``--times``; the command gets ``selection`` (Selection)."""

    @wraps(command)
    def collected(wells: str, sites: str, times: str, **values: Any) -> Any:
        return command(selection=Selection.parse(wells, sites, times), **values)

    return headed("Part of the input", *_OPTIONS)(collected)
