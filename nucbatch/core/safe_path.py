"""Keeps the current folder off Python's import path, so that a file there is never imported as a library.

Python puts the current folder first on the import path for ``-c`` and ``-m``, which is how worker processes
are started, and for each empty part of PYTHONPATH (``:/lib``, which ``$PYTHONPATH:/lib`` gives where the
variable is not set). Everything else in PYTHONPATH was chosen by the user and stays. This module imports only
what Python itself has loaded, because it runs before any library is imported.
"""

import os
import sys

SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""The environment in which Python leaves the current folder out by itself."""


def without_current_folder(pythonpath: str) -> str:
    """PYTHONPATH without its empty parts.

    >>> without_current_folder(":/lib::/more:")
    '/lib:/more'
    """
    return os.pathsep.join(part for part in pythonpath.split(os.pathsep) if part)


def safe_pythonpath() -> dict[str, str]:
    """The cleaned PYTHONPATH for child processes; empty where the variable needs no change."""
    given = os.environ.get("PYTHONPATH", "")
    cleaned = without_current_folder(given)
    return {} if cleaned == given else {"PYTHONPATH": cleaned}


def restart_safely(*, as_module: bool) -> None:
    """Restarts this program, as the same process, if the current folder is on its import path.

    ``as_module``: it was started by ``python -m``. Does nothing the second time.
    """
    cleaned = {} if sys.flags.ignore_environment else safe_pythonpath()
    os.environ.update(SAFE_PATH | cleaned)
    unsafe = as_module or bool(sys.flags.ignore_environment)
    if sys.executable and (cleaned or (unsafe and not sys.flags.safe_path)):
        # The program, its arguments and Python's own options, as they were given.
        own = [sys.executable, "-P", *sys.orig_argv[1:]]
        os.execv(sys.executable, own)  # noqa: S606  # nosec B606  # this program itself, and no shell
