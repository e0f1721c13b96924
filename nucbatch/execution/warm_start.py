"""Warm start: loads the libraries of this machine's workers while the plate is still being read.

This module imports very little, because it is loaded first.
"""

from __future__ import annotations

from nucbatch.schedulers.children import require_children
from nucbatch.schedulers.environment import LOCAL_ENVIRONMENT, WORKER_ENVIRONMENT, starting_with
from nucbatch.schedulers.forkserver import fork_from

PRELOADED = ("nucbatch.execution.preloaded",)
"""Modules that load a worker's libraries and kernels when they are imported."""


def load_ahead(scheduler_name: str) -> None:
    """Starts loading the workers' libraries in a process beside this one, if workers run on this machine.

    Raises:
        SchedulerError: this process can't start worker processes.
    """
    here = {"local": LOCAL_ENVIRONMENT, "cuda": WORKER_ENVIRONMENT}
    if scheduler_name in here:
        with starting_with(here[scheduler_name]):
            require_children()
        fork_from(PRELOADED, here[scheduler_name])
