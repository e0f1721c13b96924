"""Classifies task errors: fail the field, end the session, or retry.

A folder that can't be written, a changed model or an unsupported precision end the session, because every
other field would fail too. Work whose worker died or ran out of memory is retried, because other work on that
worker, or a kill from outside, may be the cause. Any other error fails the field.
"""

from __future__ import annotations

import errno
import logging
from typing import Any

from distributed import KilledWorker

from nucbatch.core.errors import PrecisionError, SettingsConflict, StoreError, WeightsError
from nucbatch.core.log_file import SHOWN
from nucbatch.execution.window import WorkResult
from nucbatch.execution.worker import ran_out_of_memory
from nucbatch.store.run_folder import RunFolder

_log = logging.getLogger(__name__)

_CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
_MORE_MEMORY = "Give each worker more with a smaller --workers, or cut images smaller with --block-size"


def is_suspect(result: WorkResult[Any]) -> bool:
    """Tells whether other work on the same worker may have caused the error, so that a retry is useful."""
    return isinstance(result.error, KilledWorker | MemoryError)


def problem_of(result: WorkResult[Any], field_key: str) -> str:
    """Returns why an image failed.

    Raises:
        StoreError, WeightsError, PrecisionError, SettingsConflict: the error would affect every field.
    """
    error, work = result.error, result.work
    folder: RunFolder = work.folder
    if isinstance(error, KilledWorker):
        if used := ran_out_of_memory(folder, work.key):
            return f"out of memory: its worker had used {used}, also when it ran alone. {_MORE_MEMORY}"
        return (
            f"its worker process died each of {2 * (error.allowed_failures + 1)} times it was tried, the "
            "last time alone, and had not run out of memory"
        )
    if isinstance(error, MemoryError):
        return f"out of memory: {str(error).rstrip('.') or 'allocation failed'}. {_MORE_MEMORY}"
    if isinstance(error, OSError) and error.errno in _CANNOT_WRITE:
        raise StoreError(
            f"{folder.path} can't be written: {error.strerror or error}. Free disk space or give write "
            "permission, then repeat the command: finished work is kept."
        ) from error
    if isinstance(error, PrecisionError | SettingsConflict | StoreError | WeightsError):
        raise error
    trace = (type(error), error, result.trace) if error is not None else None
    _log.error("Field %s failed by an unexpected error", field_key, exc_info=trace, extra=SHOWN)
    return f"{type(error).__name__}: {error} (traceback in .nucbatch/logs)"
