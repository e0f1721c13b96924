"""Output of the command line: the console, sentences on standard error, and log records."""

from __future__ import annotations

import logging

import click

from nucbatch.core.console import LAYOUT, terminal
from nucbatch.core.escape import printable

__all__ = ["INTERRUPTED", "log_to_terminal", "say_error", "set_log_level", "terminal"]

INTERRUPTED = 130
"""Exit code of a command ended by Ctrl-C, as a shell reports it."""

# The driver reports workers that start and stop; files.csv has a reason for each damaged file.
_UNSHOWN = ("PIL", "asyncio", "distributed", "tifffile", "tornado")


def say_error(sentence: str) -> None:
    """Prints a sentence for the user on standard error."""
    click.echo(f"nucbatch: {printable(sentence, LAYOUT)}", err=True)


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
        click.echo(printable(f"{level}{record.name}: {self.format(record)}", LAYOUT), err=True)

    def _is_shown(self, record: logging.LogRecord) -> bool:
        if self.level == logging.DEBUG:
            return True
        return not getattr(record, "shown", False) and record.name.partition(".")[0] not in _UNSHOWN
