"""Checks that this process can start worker processes."""

from __future__ import annotations

import ast
import multiprocessing
import sys
from multiprocessing import spawn
from pathlib import Path

from nucbatch.core.errors import SchedulerError

_GUARD = """put the script's code under a guard:

    if __name__ == "__main__":
        nucbatch.run(...)
"""


def require_children() -> None:
    """Checks that this process can start worker processes.

    Raises:
        SchedulerError: this process is daemonic, or the machine has no semaphores.
        SystemExit: this process is itself a worker that is starting, and imports the script that starts
            workers.
    """
    here = multiprocessing.current_process()
    if getattr(here, "_inheriting", False):
        raise SystemExit(f"This worker process runs its script again, and starts workers in turn: {_GUARD}")
    if here.daemon:
        raise SchedulerError(
            f"{here.name!r} is a daemonic process, like those of multiprocessing.Pool and Dask's workers: "
            "Python does not let it start processes, so it can have no workers. Call this from the main "
            "process or a concurrent.futures.ProcessPoolExecutor; on a Dask worker use nucbatch.segment, or "
            "name an existing scheduler (scheduler_name='tls://HOST:PORT')."
        )
    try:
        multiprocessing.get_context("spawn").Lock()
    except OSError as error:
        raise SchedulerError(
            f"worker processes can't be started here: no semaphore can be created ({error}). Make /dev/shm "
            "writable; a container may need --shm-size, or /dev/shm mounted."
        ) from error


def missing_guard() -> str:
    """Returns advice if workers would run the main script again as they start, otherwise an empty string.

    A spawned process imports the main script; one without a ``__name__`` guard starts workers again.
    """
    handed_on = spawn.get_preparation_data("worker")
    script = getattr(sys.modules["__main__"], "__file__", None)
    if not script or not handed_on.keys() & {"init_main_from_path", "init_main_from_name"}:
        return ""
    try:
        tree = ast.parse(Path(script).read_bytes())
    except (OSError, SyntaxError, ValueError):  # not a readable Python file
        return ""
    if any(isinstance(part, ast.If) and "__name__" in ast.dump(part.test) for part in tree.body):
        return ""
    return f"Each worker imports {Path(script).name} first, and that starts workers again: {_GUARD}"
