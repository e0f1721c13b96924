"""Log files of runs and trainings, written with the standard library's ``logging``.

Each module logs to ``logging.getLogger(__name__)``. A log file receives nucbatch's records of INFO and above
(DEBUG too if the logger ``nucbatch`` is set to it) and other libraries' records of WARNING and above. One
record is one line; further lines are indented by four spaces::

    2026-03-01T21:04:05.123Z WARNING nucbatch.execution.driver driver[4711] B/3/1 is done again: ...

Each record is written at once, so that a kill loses none, and a signal handler may log. A run's log file can
only be created once the run's folder is locked. Records made before, while headers are read, are kept in
memory by :func:`early_records` until then.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

from nucbatch.core.errors import NucbatchError
from nucbatch.core.escape import printable
from nucbatch.core.signals import Stopped

PROJECT = "nucbatch"
"""Name of nucbatch's top logger."""

SHOWN = {"shown": True}
"""``extra`` of a record that the user already sees in another way, so that the terminal does not show it."""

NOTE = {"shown": True, "note": True}
"""``extra`` of a message for the user, which the run's ``Progress`` shows."""

_MOST_EARLY_RECORDS = 10_000
_SPACES = "\n\u00a0\u2007\u2009\u202f"  # line ends, and spaces of numbers that Python calls unprintable


class LogFormatter(logging.Formatter):
    """Formats time (UTC), level, logger, process and message, with control characters escaped."""

    def format(self, record: logging.LogRecord) -> str:
        # Records of worker processes say where they come from.
        process = getattr(record, "worker", None) or f"driver[{record.process}]"
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        text = super().format(record)
        line = f"{when.removesuffix('+00:00')}Z {record.levelname} {record.name} {process} {text}"
        # Indented, so that a line end in a file's name can't begin a line that looks like a record.
        return printable(line, _SPACES).rstrip("\n").replace("\n", "\n    ")


class LogFile(logging.Handler):
    """Appends each record to a file; if the file can't be written, prints one message and continues."""

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
        except OSError as error:  # a missing log does not end the run
            if not self._said:
                self._said = True
                sys.stderr.write(f"{PROJECT}: the log {self._path} can't be written: {error.strerror}\n")


def new_log(folder: Path, now: datetime | None = None) -> Path:
    """Creates an empty file in ``folder``, named by the time (UTC): ``2026-03-01T210405Z.log``.

    A second one in the same second gets ``-2`` after the time. ``now``: the time; None for the current one.
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
    """Logs how the context ends: in order, by a signal, or by an error; ``what`` is its name."""
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
    """Sends records to the handlers while the context lasts: nucbatch's from INFO, libraries' from WARNING.

    Begins with the records that :func:`early_records` has kept. Handlers of the root logger receive the same
    records as before. The given handlers are closed at the end.
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
            for record in _take_early_records():
                for handler in handlers:
                    if record.levelno >= handler.level:
                        handler.handle(record)
            yield
    finally:
        project.removeHandler(outwards)
        project.setLevel(level)
        project.propagate = propagate


@contextmanager
def early_records() -> Iterator[None]:
    """Keeps the records of the context in memory until :func:`logging_to` takes them; drops them at the end.

    Inside another such context it does nothing.
    """
    global _early
    if _early is not None:
        yield
        return
    kept = _Kept()
    with logging_to(kept):
        _early = kept
        try:
            yield
        finally:
            _early = None


def _take_early_records() -> list[logging.LogRecord]:
    return _early.take() if _early is not None else []


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


class _Kept(logging.Handler):
    """Keeps a limited number of records in memory until they are taken once; ignores later ones."""

    def __init__(self) -> None:
        super().__init__()
        self._records: list[logging.LogRecord] = []
        self._more = 0
        self._taken = False

    def emit(self, record: logging.LogRecord) -> None:
        if self._taken:
            return
        if len(self._records) < _MOST_EARLY_RECORDS:
            self._records.append(record)
        else:
            self._more += 1

    def take(self) -> list[logging.LogRecord]:
        """Returns the records, and one on how many were not kept."""
        with self.lock or nullcontext():
            self._taken, records = True, self._records
            self._records = []
        if self._more:
            more = {"name": __name__, "levelno": logging.INFO, "levelname": "INFO"}
            more["msg"] = f"{self._more:,} more records from before the log began were not kept"
            records.append(logging.makeLogRecord(more))
        return records


_early: _Kept | None = None


class _ToRoot(logging.Handler):
    """Passes nucbatch's records on to the root logger's handlers, from the same level as before."""

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger().callHandlers(record)


class _FromLibraries(logging.Handler):
    """Passes libraries' records of WARNING and above on to a handler."""

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
