"""Calls a function in a process of its own, so that the memory and the libraries it needs are free again.

The process ends when its caller does. It is a new Python, not a child of multiprocessing, which would run the
caller's script again.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import TypeVar

from nucbatch.core.errors import NucbatchError
from nucbatch.core.log_file import PROJECT
from nucbatch.core.safe_path import SAFE_PATH, safe_pythonpath

T = TypeVar("T")


def call_apart(function: Callable[..., T], *arguments: object) -> T:
    """Calls a function in a new process and returns its result; errors are raised here.

    Records that it logs below nucbatch's logger are handled here too.

    Args:
        function: a function of a module.
        arguments: its arguments, which are pickled, as its result is.

    Raises:
        ChildProcessError: the process was killed before it answered.
    """
    ours, theirs = Pipe()
    command = [sys.executable, "-P", "-m", __name__, str(theirs.fileno())]
    environment = os.environ | SAFE_PATH | safe_pythonpath()
    with ours:
        process = subprocess.Popen(  # noqa: S603  # nosec B603  # this Python, and no shell
            command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL
        )
        with process:
            theirs.close()
            try:
                return ask(ours, function, *arguments)
            finally:
                ours.close()  # the other process ends now


def ask(connection: Connection, function: Callable[..., T], *arguments: object) -> T:
    """Calls a function in the process that serves the other end of a connection: see :func:`call_apart`."""
    try:
        connection.send((function, arguments, logging.getLogger(PROJECT).getEffectiveLevel()))
        result, error, records = connection.recv()
    except (EOFError, ConnectionError) as ended:
        raise ChildProcessError("the process that was asked has ended without an answer") from ended
    for record in records:
        logging.getLogger(record.name).handle(record)
    if error is not None:
        raise error
    answer: T = result
    return answer


def serve(connection: Connection) -> None:
    """Calls the function that :func:`ask` asks for, and answers with its result or error, and its records."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller hears it, and ends this process
    function, arguments, level = connection.recv()
    threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
    kept = _Kept()
    logging.getLogger(PROJECT).addHandler(kept)
    logging.getLogger(PROJECT).setLevel(level)
    result: object = None
    failure: Exception | None = None
    try:
        result = function(*arguments)
    except NucbatchError as error:
        failure = error
    except Exception as error:  # noqa: BLE001  # raised again by the caller
        error.add_note(traceback.format_exc())
        failure = error
    connection.send((result, failure, kept.records))


class _Kept(logging.Handler):
    """Keeps records for the caller's log."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args, record.exc_info = record.getMessage(), None, None
        self.records.append(record)


def _end_with(connection: Connection) -> None:
    """Ends this process when the caller closes its end, or is gone."""
    try:
        connection.recv()
    except (EOFError, OSError):
        os._exit(1)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
