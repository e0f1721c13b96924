"""Opens a large plate in a process of its own, so that its memory is free again for the run.

While names are parsed and headers read, a plate takes about 2 kB a file, and Python keeps most of that. Once
it is open, it takes about 50 bytes a file. The process ends when its caller does. It is not started by
multiprocessing, which would run the caller's script again.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from nucbatch.core.errors import InputError, NucbatchError
from nucbatch.core.log_file import PROJECT
from nucbatch.core.plate import Plate
from nucbatch.core.safe_path import SAFE_PATH, safe_pythonpath

FROM_FILES = 200_000
"""Number of files from which a plate is opened apart."""


def open_apart(path: Path, options: Mapping[str, Any]) -> Plate:
    """Calls :func:`nucbatch.readers.find.open_plate` in another process.

    Args:
        path: the input.
        options: the other arguments.

    Raises:
        InputError: as ``open_plate``; or the process was killed.
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
                ours.send((path, options, logging.getLogger(PROJECT).getEffectiveLevel()))
                outcome, records = ours.recv()
            except (EOFError, ConnectionError) as error:
                raise InputError(
                    f"{path} can't be opened: the process that reads its headers was killed, perhaps for "
                    "want of memory. It needs about 2 kB for each file."
                ) from error
            finally:
                ours.close()  # the other process ends now
    for record in records:
        logging.getLogger(record.name).handle(record)
    if isinstance(outcome, BaseException):
        raise outcome
    opened: Plate = outcome
    return opened


class _Kept(logging.Handler):
    """Keeps records for the caller's log."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args, record.exc_info = record.getMessage(), None, None
        self.records.append(record)


def _serve(connection: Connection) -> None:
    """Opens the plate that the caller asks for, and answers with it, or with an error."""
    from nucbatch.readers.find import open_plate

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller hears it, and ends this process
    path, options, level = connection.recv()
    threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
    kept = _Kept()
    logging.getLogger(PROJECT).addHandler(kept)
    logging.getLogger(PROJECT).setLevel(level)
    outcome: Plate | BaseException
    try:
        outcome = open_plate(path, **options, apart_from=sys.maxsize)
    except NucbatchError as error:
        outcome = error
    except Exception as error:  # noqa: BLE001  # raised again by the caller
        error.add_note(traceback.format_exc())
        outcome = error
    connection.send((outcome, kept.records))


def _end_with(connection: Connection) -> None:
    """Ends this process when the caller closes its end, or is gone."""
    try:
        connection.recv()
    except (EOFError, OSError):
        os._exit(1)


if __name__ == "__main__":
    _serve(Connection(int(sys.argv[1])))
