"""Whether this process may start worker processes, asked before anything is started."""

from __future__ import annotations

import ast
import multiprocessing
import sys
from multiprocessing import spawn
from pathlib import Path

from nucbatch.core.errors import SchedulerError

_GUARD = """put what the script does under a guard:

    if __name__ == "__main__":
        nucbatch.run_plate(...)
"""


def require_children() -> None:
    """Refuses where no worker process can be started, or none would ever be heard of.

    Raises:
        SchedulerError: a daemonic process, or a machine without semaphores. SystemExit: this process is a
        worker that is just being started, and imports the script that starts workers.
    """
    here = multiprocessing.current_process()
    if getattr(here, "_inheriting", False):
        raise SystemExit(f"This worker process runs its script again, and starts workers in turn: {_GUARD}")
    if here.daemon:
        raise SchedulerError(
            f"{here.name!r} is a daemonic process, as those of multiprocessing.Pool and Dask's workers are: "
            "Python lets it start no processes, so it can have no workers. Call this from the main process "
            "or a concurrent.futures.ProcessPoolExecutor; on a Dask worker use nucbatch.segment, or name a "
            "scheduler that is there already (scheduler_name='tls://HOST:PORT')."
        )
    try:
        multiprocessing.get_context("spawn").Lock()
    except OSError as error:
        raise SchedulerError(
            f"worker processes can't be started here: no semaphore can be made ({error}). Make /dev/shm "
            "writable; a container may need --shm-size, or that folder mounted."
        ) from error


def missing_guard() -> str:
    """What to do about a script that each worker runs again as it starts; empty where there is none."""
    handed_on = spawn.get_preparation_data("worker")
    script = getattr(sys.modules["__main__"], "__file__", None)
    if not script or not handed_on.keys() & {"init_main_from_path", "init_main_from_name"}:
        return ""
    try:
        tree = ast.parse(Path(script).read_bytes())
    except (OSError, SyntaxError, ValueError):  # no file, or none of Python's
        return ""
    if any(isinstance(part, ast.If) and "__name__" in ast.dump(part.test) for part in tree.body):
        return ""
    return f"Each worker imports {Path(script).name} first, and that starts workers again: {_GUARD}"
