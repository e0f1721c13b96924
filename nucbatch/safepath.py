"""Python's import path without the current folder, so that a file lying there never stands in for a library.

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
    """PYTHONPATH for a process that is to be started; nothing where the variable can stay as it is."""
    given = os.environ.get("PYTHONPATH", "")
    cleaned = without_current_folder(given)
    return {} if cleaned == given else {"PYTHONPATH": cleaned}


def restart_safely(*, as_module: bool) -> None:
    """Begins this program again, as the same process, if the current folder is on its import path.

    ``as_module``: it was started by ``python -m``. Does nothing the second time.
    """
    cleaned = {} if sys.flags.ignore_environment else safe_pythonpath()
    os.environ.update(SAFE_PATH | cleaned)
    unsafe = as_module or bool(sys.flags.ignore_environment)
    if sys.executable and (cleaned or (unsafe and not sys.flags.safe_path)):
        # The program, its arguments and Python's own options, as they were given.
        os.execv(sys.executable, [sys.executable, "-P", *sys.orig_argv[1:]])  # noqa: S606  # nosec B606
