"""Compares a second prediction with the scored one: ``nucbatch score --against``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from nucbatch.scoring.bootstrap import Difference


def show_differences(console: Console, found: Sequence[Difference], first: str, second: str) -> None:
    """Prints each figure of both predictions, and the interval of the difference."""
    from rich import box
    from rich.table import Table

    from nucbatch.scoring.bootstrap import FEWEST
    from nucbatch.scoring.figure_names import shown

    console.print(f"First: {first}\nSecond: {second}", markup=False, soft_wrap=True)
    console.print(
        "Difference: second - first, with 95 % intervals by paired bootstrap over images, of which it needs "
        f"{FEWEST}"
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("figure", "first", "second", "difference"):
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    for one in found:
        change = f"{one.change.value:+.3f} ({one.words})" if one.is_shown else one.words
        table.add_row(one.heading, shown(one.first), shown(one.second), change)
    console.print(table)
