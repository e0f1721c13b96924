"""What can be begun before the plate is read: this machine's worker processes load their libraries.

Imports next to nothing, because it is called first.
"""

from __future__ import annotations

from nucbatch.schedulers.environment import LOCAL_ENVIRONMENT, WORKER_ENVIRONMENT
from nucbatch.schedulers.forkserver import fork_from

PRELOADED = ("nucbatch.execution.preloaded",)
"""What has a worker's libraries and kernels loaded when it is imported."""


def load_ahead(scheduler_name: str) -> None:
    """Begins to load what workers will need, beside this process, where they will run on this machine."""
    here = {"local": LOCAL_ENVIRONMENT, "cuda": WORKER_ENVIRONMENT}
    if scheduler_name in here:
        fork_from(PRELOADED, here[scheduler_name])
