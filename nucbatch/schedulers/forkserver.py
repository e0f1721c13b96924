"""Fork server: a process with all libraries imported, from which this machine's workers are forked.

Libraries and kernels are loaded once, in a single-threaded process that never reads an image. Every worker
is a fork of it. So workers start at once, also those that replace dead ones, and loading overlaps with the
driver's reading of a plate's headers.

Python keeps one fork server per process. It is started anew if variables for object stores have changed
(:data:`_FOR_STORES`), as in a notebook that sets credentials after its first run. Workers are spawned instead
if other code has started the fork server, because its environment is then not a worker's; if there are no
modules to preload; and on systems other than Linux, where libraries may not survive a fork.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing import Pipe, forkserver, get_context, resource_tracker
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from nucbatch.core.apart import ask, serve
from nucbatch.schedulers.environment import starting_with

T = TypeVar("T")

_server: Any = getattr(forkserver, "_forkserver", None)
"""Python's fork server. The private object is needed: no public function tells if it runs, or stops it."""

_FOR_STORES = ("AWS_", "AZURE_", "GOOGLE_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
"""Beginnings of the names of environment variables that workers use to reach object stores."""

_variables: dict[str, str] = {}
"""Variables for object stores when the fork server was started."""

_ours: dict[int, int] = {}
"""Process ID of the fork server, by the process ID that started it."""


def fork_from(modules: Sequence[str], environment: Mapping[str, str]) -> Literal["forkserver", "spawn"]:
    """Starts a fork server that imports ``modules``, unless it runs already.

    Returns at once; workers that are started before the imports are done wait for them.

    Args:
        modules: names of the modules to import.
        environment: environment variables of the fork server, which workers inherit.

    Returns:
        The multiprocessing method to start workers with.
    """
    variables = {name: value for name, value in os.environ.items() if name.upper().startswith(_FOR_STORES)}
    if _ours.get(os.getpid()) == _running() and variables != _variables:
        end()
    running = _running()
    foreign = running is not None and _ours.get(os.getpid()) != running
    if not modules or _server is None or foreign or not sys.platform.startswith("linux"):
        return "spawn"
    if running is None:
        forkserver.set_forkserver_preload(list(modules))
        with starting_with(environment):
            # Start it now: the fork server would start it next, and unblock SIGINT.
            resource_tracker.ensure_running()
        # Python 3.11 and 3.12 don't pass the import path on to the server.
        with starting_with({**environment, "PYTHONPATH": own_import_path()}):
            forkserver.ensure_running()
        if not _ours:
            atexit.register(end)
        _ours[os.getpid()] = cast(int, _running())
        _variables.clear()
        _variables.update(variables)
    return "forkserver"


def is_forking() -> bool:
    """Returns whether the fork server that :func:`fork_from` started runs."""
    return _running() is not None and _ours.get(os.getpid()) == _running()


def call_in_fork(function: Callable[..., T], *arguments: object) -> T:
    """Calls a function in a fork of the fork server, and returns its result; errors are raised here.

    Args:
        function: a function of a module.
        arguments: its arguments, which are pickled, as its result is.

    Raises:
        ChildProcessError: the process ended before it answered.
    """
    ours, theirs = Pipe()
    process = get_context("forkserver").Process(target=serve, args=(theirs,), name="nucbatch-network")
    with ours:
        try:
            process.start()
        except (EOFError, OSError) as error:
            raise ChildProcessError("the fork server does not answer") from error
        finally:
            theirs.close()
        try:
            return ask(ours, function, *arguments)
        finally:
            ours.close()  # the process ends now
            process.join()


def end() -> None:
    """Stops the fork server that :func:`fork_from` started; workers already forked keep running.

    It would also stop with this process, but only after its imports are done, and would keep this process'
    output open until then.
    """
    pid = _ours.pop(os.getpid(), None)
    if pid is not None and pid == _running():
        with suppress(ProcessLookupError):  # already stopped
            os.kill(pid, signal.SIGKILL)
        _server._stop()


def own_import_path() -> str:
    """Returns this process' import path, formatted as PYTHONPATH."""
    # An empty entry, as in an interactive Python, means the current folder.
    return os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path if os.pathsep not in entry)


def _running() -> int | None:
    return cast("int | None", getattr(_server, "_forkserver_pid", None))
