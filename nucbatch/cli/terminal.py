"""Output to the terminal: rich's console, with control characters in names escaped.

Names are escaped at one place, which all output passes, instead of at each print. Only rich's own control
codes (of progress bars) are passed on unchanged.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from nucbatch.core.escape import printable

if TYPE_CHECKING:
    from rich.console import Console

INTERRUPTED = 130
"""Exit code of a command ended by Ctrl-C, as a shell reports it."""

# The driver reports workers that start and stop; files.csv has a reason for each damaged file.
_UNSHOWN = ("PIL", "asyncio", "distributed", "tifffile", "tornado")
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
    """Prints a sentence for the user on standard error."""
    click.echo(f"nucbatch: {printable(sentence, _LAYOUT)}", err=True)


def log_to_terminal() -> None:
    """Shows log records of WARNING and above on standard error, with control characters escaped.

    What the command shows in another way is left out, and libraries that tell of each damaged file or lost
    worker; all of these are in the run's log, and here with ``--verbose``. Python's warnings become records.
    """
    logging.basicConfig(level=logging.WARNING, handlers=[_Terminal()])
    logging.captureWarnings(True)


def set_log_level(level: int) -> None:
    """The least level of records that are shown; with DEBUG, nothing is left out."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Terminal):
            handler.setLevel(level)


class _Terminal(logging.Handler):
    """Writes to standard error, above a progress bar if there is one."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.setFormatter(logging.Formatter("%(message)s"))  # else basicConfig sets one
        self.addFilter(self._is_shown)

    def emit(self, record: logging.LogRecord) -> None:
        level = f"{record.levelname} " if self.level == logging.DEBUG else ""
        click.echo(printable(f"{level}{record.name}: {self.format(record)}", _LAYOUT), err=True)

    def _is_shown(self, record: logging.LogRecord) -> bool:
        if self.level == logging.DEBUG:
            return True
        return not getattr(record, "shown", False) and record.name.partition(".")[0] not in _UNSHOWN
