"""Log files of runs and trainings, written with the standard library's ``logging``.

Each module logs to ``logging.getLogger(__name__)``; what to do with the records is decided here and, for the
terminal, in the command line. A log file gets this project's records at INFO and above (DEBUG too, where the
logger ``nucbatch`` is set to it) and those of other libraries at WARNING and above. One record is one line,
with more lines indented by four spaces::

    2026-03-01T21:04:05.123Z WARNING nucbatch.execution.driver driver[4711] B/3/1 is done again: ...

Each record is written at once, so that a kill loses none, and a signal handler may log.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from nucbatch.core.errors import NucbatchError
from nucbatch.core.escape import printable
from nucbatch.core.signals import Stopped

PROJECT = "nucbatch"
"""The logger above all others of this project."""

SHOWN = {"shown": True}
"""``extra`` of a record that the user sees in another way, so that the terminal need not show it as well."""

NOTE = {"shown": True, "note": True}
"""``extra`` of a sentence for the user: the run's ``Progress`` shows it."""

_SPACES = "\n\u00a0\u2007\u2009\u202f"  # line ends, and spaces of numbers that Python calls unprintable


class LogFormatter(logging.Formatter):
    """Time (UTC), level, logger, process and message; control characters are escaped."""

    def format(self, record: logging.LogRecord) -> str:
        # Records of worker processes say where they come from.
        process = getattr(record, "worker", None) or f"driver[{record.process}]"
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        text = super().format(record)
        line = f"{when.removesuffix('+00:00')}Z {record.levelname} {record.name} {process} {text}"
        # Indented, so that a line end in a file's name can't begin a line that looks like a record.
        return printable(line, _SPACES).rstrip("\n").replace("\n", "\n    ")


class LogFile(logging.Handler):
    """Appends each record to a file; says so once where the file can't be written, and goes on."""

    def __init__(self, path: Path, formatter: logging.Formatter | None = None) -> None:
        super().__init__()
        self.setFormatter(formatter or LogFormatter())
        self._path, self._said = path, False

    def emit(self, record: logging.LogRecord) -> None:
        # Opened each time: other machines see the line when it is closed, and --restart may remove the file.
        line = f"{self.format(record)}\n".encode()
        try:
            self._path.parent.mkdir(exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as error:  # what ends a run then is the run itself
            if not self._said:
                self._said = True
                sys.stderr.write(f"{PROJECT}: the log {self._path} can't be written: {error.strerror}\n")


def new_log(folder: Path, now: datetime | None = None) -> Path:
    """An empty file in ``folder``, named by the time (UTC): ``2026-03-01T210405Z.log``.

    A second one in the same second gets ``-2`` after the time. ``now`` is for tests.
    """
    time = (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H%M%SZ")
    number = 1
    while True:
        path = folder / (f"{time}.log" if number == 1 else f"{time}-{number}.log")
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            number += 1
        else:
            return path


@contextmanager
def logged_to_its_end(log: logging.Logger, what: str) -> Iterator[None]:
    """Logs how the context ends: as it should, by a signal, or by an error; ``what`` is its name."""
    try:
        yield
    except (Stopped, KeyboardInterrupt) as error:
        log.info("The %s ends: %s", what, str(error) or "interrupted")
        raise
    except NucbatchError as error:
        log.error("The %s ends: %s", what, error, extra=SHOWN)
        log.debug("It was raised here", exc_info=True)
        raise
    except BaseException:
        log.critical("The %s ends by an unexpected error", what, exc_info=True, extra=SHOWN)
        raise
    else:
        log.info("The %s has come to its end", what)


@contextmanager
def logging_to(*handlers: logging.Handler) -> Iterator[None]:
    """Sends records to the handlers while the context lasts: this project's from INFO, others' from WARNING.

    What others have installed on the root logger gets what it got before. The handlers are closed at the end.
    """
    project = logging.getLogger(PROJECT)
    level, propagate = project.level, project.propagate
    outwards = _ToRoot(project.getEffectiveLevel())
    project.setLevel(min(logging.INFO, project.getEffectiveLevel()))
    project.propagate = False
    if propagate:
        project.addHandler(outwards)
    try:
        with sent_to(*handlers):
            yield
    finally:
        project.removeHandler(outwards)
        project.setLevel(level)
        project.propagate = propagate


@contextmanager
def sent_to(*handlers: logging.Handler) -> Iterator[None]:
    """Adds handlers for records at the current level while the context lasts; then closes them.

    Of other libraries, only records of WARNING and above.
    """
    foreign = [_FromLibraries(handler) for handler in handlers]
    # Libraries such as distributed have loggers from which nothing gets to the root.
    apart = [logging.getLogger()] + [
        logger
        for name, logger in list(logging.root.manager.loggerDict.items())
        if isinstance(logger, logging.Logger) and not logger.propagate and name != PROJECT
    ]
    _add(logging.getLogger(PROJECT), handlers)
    for logger in apart:
        _add(logger, foreign)
    try:
        yield
    finally:
        for logger in apart:
            _remove(logger, foreign)
        _remove(logging.getLogger(PROJECT), handlers)
        for handler in (*handlers, *foreign):
            handler.close()


class _ToRoot(logging.Handler):
    """Passes this project's records on to the root logger's handlers, from the level that they got before."""

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger().callHandlers(record)


class _FromLibraries(logging.Handler):
    """Passes other libraries' records on to a handler, from WARNING."""

    def __init__(self, to: logging.Handler) -> None:
        super().__init__(max(logging.WARNING, to.level))
        self._to = to

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.partition(".")[0] != PROJECT:  # those come directly
            self._to.handle(record)


def _add(logger: logging.Logger, handlers: Sequence[logging.Handler]) -> None:
    for handler in handlers:
        logger.addHandler(handler)


def _remove(logger: logging.Logger, handlers: Sequence[logging.Handler]) -> None:
    for handler in handlers:
        logger.removeHandler(handler)
