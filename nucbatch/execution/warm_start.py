"""What can be begun before the plate is read: this machine's worker processes load their libraries.

Imports next to nothing, because it is called first.
"""

from __future__ import annotations

from nucbatch.schedulers.children import require_children
from nucbatch.schedulers.environment import LOCAL_ENVIRONMENT, WORKER_ENVIRONMENT, starting_with
from nucbatch.schedulers.forkserver import fork_from

PRELOADED = ("nucbatch.execution.preloaded",)
"""What has a worker's libraries and kernels loaded when it is imported."""


def load_ahead(scheduler_name: str) -> None:
    """Begins to load what workers will need, beside this process, where they will run on this machine.

    Raises:
        SchedulerError: this process can't have workers.
    """
    here = {"local": LOCAL_ENVIRONMENT, "cuda": WORKER_ENVIRONMENT}
    if scheduler_name in here:
        with starting_with(here[scheduler_name]):
            require_children()
        fork_from(PRELOADED, here[scheduler_name])
