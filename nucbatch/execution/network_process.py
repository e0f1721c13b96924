"""Calls functions that need PyTorch outside the driver.

PyTorch takes 190 MB and seconds to load. The driver needs little of it: what a network looks like, and the
size of the nuclei in a sample of a plate. So a short process beside it does this: a fork of the workers' fork
server where that runs, else a new Python.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

from nucbatch.core.apart import call_apart
from nucbatch.core.errors import SchedulerError
from nucbatch.schedulers.children import missing_guard
from nucbatch.schedulers.forkserver import call_in_fork, is_forking

T = TypeVar("T")


def with_network(function: Callable[..., T], *arguments: object) -> T:
    """Calls a function of a module in another process; here, if PyTorch is loaded already.

    Raises:
        SchedulerError: the process ended before it answered. Errors of the function are raised unchanged.
    """
    if "torch" in sys.modules:
        return function(*arguments)
    forks = is_forking()
    try:
        return call_in_fork(function, *arguments) if forks else call_apart(function, *arguments)
    except ChildProcessError as error:
        advice = (missing_guard() if forks else "") or "It may lack memory: it needs up to 1 GiB."
        raise SchedulerError(
            f"the process that loads the network has ended without an answer. {advice}"
        ) from error
