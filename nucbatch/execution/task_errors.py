"""What an error of a task means: the end of a field, of the sitting, or of nothing yet.

The decision owned here: a folder that can't be written, a model that has changed and a device that lacks the
precision end the sitting, because no other field would fare better. A worker that died, or had too little
memory, is no proof against the work it had in hand: there was other work beside it, and somebody may have
killed it. All else is the field's own.
"""

from __future__ import annotations

import errno
import logging
from typing import Any

from distributed import KilledWorker

from nucbatch.core.errors import PrecisionError, SettingsConflict, StoreError, WeightsError
from nucbatch.core.log_file import SHOWN
from nucbatch.execution.window import Came
from nucbatch.execution.worker import ran_out_of_memory
from nucbatch.store.folder import RunFolder

_log = logging.getLogger(__name__)

_CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
_MORE_MEMORY = "Give each worker more with a smaller --workers, or cut images smaller with --block-size"


def is_suspect(came: Came[Any]) -> bool:
    """Whether work failed in a way that something beside it may have caused."""
    return isinstance(came.error, KilledWorker | MemoryError)


def problem_of(came: Came[Any], field_key: str) -> str:
    """Why an image could not be done.

    Raises:
        StoreError, WeightsError, PrecisionError: with this folder, model or device no other one fares better.
    """
    error, work = came.error, came.work
    folder: RunFolder = work.folder
    if isinstance(error, KilledWorker):
        if used := ran_out_of_memory(folder, work.key):
            return f"out of memory: its worker had used {used}, also with nothing beside it. {_MORE_MEMORY}"
        return (
            f"its worker process died each of {2 * (error.allowed_failures + 1)} times it was tried, at last "
            "with nothing beside it, and had not run out of memory"
        )
    if isinstance(error, MemoryError):
        return f"out of memory: {str(error).rstrip('.') or 'no more to be had'}. {_MORE_MEMORY}"
    if isinstance(error, OSError) and error.errno in _CANNOT_WRITE:
        raise StoreError(
            f"{folder.path} can't be written: {error.strerror or error}. Make room or give write "
            "permission, then give the same command again: what is done is kept."
        ) from error
    if isinstance(error, PrecisionError | SettingsConflict | StoreError | WeightsError):
        raise error
    trace = (type(error), error, came.trace) if error is not None else None
    _log.error("Field %s failed by an unexpected error", field_key, exc_info=trace, extra=SHOWN)
    return f"{type(error).__name__}: {error} (traceback in .nucbatch/logs)"
