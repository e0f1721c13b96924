"""One process that has everything imported, from which this machine's workers are forked.

The decision owned here: a worker's libraries and kernels are loaded once, in a process of one thread that
never touches an image, and every worker begins as a copy of it. So workers are there at once, the first ones
and those that replace dead ones, and the loading can begin while the driver still reads a plate's headers.

Python keeps one fork server per process. If somebody else has started it, its environment is not a worker's,
and workers are started from nothing. So they are where nothing is to be loaded before, and beyond Linux,
where libraries don't promise to live through a fork.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import Any, Literal, cast

from nucbatch.schedulers.environment import starting_with

_server: Any = getattr(forkserver, "_forkserver", None)
"""Python's fork server; it has no public way to ask whether it runs, or to end it."""

_ours: dict[int, int] = {}
"""The fork server's process number, by that of the process that has started it."""


def fork_from(modules: Sequence[str], environment: Mapping[str, str]) -> Literal["forkserver", "spawn"]:
    """Has a process import the modules, by name, unless one does; says how workers are to be started now.

    Returns at once: workers that are started before everything is imported wait for it.
    """
    running = _running()
    somebody_elses = running is not None and _ours.get(os.getpid()) != running
    if not modules or _server is None or somebody_elses or not sys.platform.startswith("linux"):
        return "spawn"
    if running is None:
        forkserver.set_forkserver_preload(list(modules))
        with starting_with(environment):
            resource_tracker.ensure_running()  # else it would be started next, and let SIGINT through again
        # Python 3.11 and 3.12 don't give the server the import path that its processes will have.
        with starting_with({**environment, "PYTHONPATH": own_import_path()}):
            forkserver.ensure_running()
        if not _ours:
            atexit.register(end)
        _ours[os.getpid()] = cast(int, _running())
    return "forkserver"


def end() -> None:
    """Ends what :func:`fork_from` has started; workers that were forked before live on.

    With this process it would end by itself, but only after it has imported everything, and it would keep
    this one's output open meanwhile.
    """
    pid = _ours.pop(os.getpid(), None)
    if pid is not None and pid == _running():
        with suppress(ProcessLookupError):  # it is gone already
            os.kill(pid, signal.SIGKILL)
        _server._stop()


def own_import_path() -> str:
    """This process' import path, as PYTHONPATH."""
    # An empty entry, as an interactive Python has it, stands for the current folder.
    return os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path if os.pathsep not in entry)


def _running() -> int | None:
    return cast("int | None", getattr(_server, "_forkserver_pid", None))
