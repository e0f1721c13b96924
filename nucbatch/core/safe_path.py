"""Keeps the current folder off Python's import path, so that no file there is imported as a library.

Python puts the current folder first on the import path for ``-c`` and ``-m``, which start worker processes,
and for each empty entry of PYTHONPATH (``$PYTHONPATH:/lib`` gives ``:/lib`` where the variable is unset).
Other entries of PYTHONPATH were chosen by the user and stay. This module imports only modules that Python has
already loaded, because it runs before any library is imported.
"""

import os
import sys

SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""Environment variables that make Python itself leave out the current folder."""


def without_current_folder(pythonpath: str) -> str:
    """Removes the empty entries of a PYTHONPATH.

    >>> without_current_folder(":/lib::/more:")
    '/lib:/more'
    """
    return os.pathsep.join(part for part in pythonpath.split(os.pathsep) if part)


def safe_pythonpath() -> dict[str, str]:
    """Returns the cleaned PYTHONPATH for child processes; empty if the variable needs no change."""
    given = os.environ.get("PYTHONPATH", "")
    cleaned = without_current_folder(given)
    return {} if cleaned == given else {"PYTHONPATH": cleaned}


def restart_safely(*, as_module: bool) -> None:
    """Restarts this program in the same process if the current folder is on its import path.

    The second call does nothing.

    Args:
        as_module: the program was started by ``python -m``.
    """
    cleaned = {} if sys.flags.ignore_environment else safe_pythonpath()
    os.environ.update(SAFE_PATH | cleaned)
    unsafe = as_module or bool(sys.flags.ignore_environment)
    if sys.executable and (cleaned or (unsafe and not sys.flags.safe_path)):
        # Keeps Python's options, the program and its arguments.
        own = [sys.executable, "-P", *sys.orig_argv[1:]]
        os.execv(sys.executable, own)  # noqa: S606  # nosec B606  # this program itself, and no shell
