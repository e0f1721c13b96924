"""What reaches a terminal: rich's console, through which no control character of a name gets.

The decision owned here: names are made harmless once, where everything passes, instead of at each print. Only
rich's own control codes (of progress bars) go out as they are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from nucbatch.core.escape import printable

if TYPE_CHECKING:
    from rich.console import Console

# The driver tells of workers that come and go; files.csv has a reason for each damaged file.
_UNSHOWN = ("asyncio", "distributed", "tifffile", "tornado")
_LAYOUT = "\n\u00a0\u2007\u2009\u202f"  # line ends, and spaces of numbers that Python calls unprintable


def terminal(*, stderr: bool = False, soft_wrap: bool = False, quiet: bool = False) -> Console:
    """The console of a command."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class Terminal(Console):
        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                if segment.control:
                    yield segment
                else:
                    yield Segment(printable(segment.text, _LAYOUT), segment.style)

    return Terminal(highlight=False, stderr=stderr, soft_wrap=soft_wrap, quiet=quiet)


def say_error(sentence: str) -> None:
    """A sentence for the user on standard error."""
    click.echo(f"nucbatch: {printable(sentence, _LAYOUT)}", err=True)


def log_printably() -> None:
    """Escapes control characters in the warnings of libraries, which may quote a file, and drops some."""
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.addFilter(lambda record: record.name.partition(".")[0] not in _UNSHOWN)
    handler.setFormatter(_Printable("%(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record), _LAYOUT)
