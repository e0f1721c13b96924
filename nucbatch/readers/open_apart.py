"""Opens a large plate in a process of its own, so that its memory is free again for the run.

While names are parsed and headers read, a plate takes about 2 kB a file, and Python keeps most of that. Once
it is open, it takes about 50 bytes a file.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nucbatch.core.apart import call_apart
from nucbatch.core.errors import InputError
from nucbatch.core.plate import Plate

FROM_FILES = 200_000
"""Number of files from which a plate is opened apart."""


def open_apart(path: Path, options: Mapping[str, Any]) -> Plate:
    """Calls :func:`nucbatch.readers.find.open_plate` in another process.

    Args:
        path: the input.
        options: the other arguments.

    Raises:
        InputError: as ``open_plate``; or the process was killed.
    """
    try:
        return call_apart(_open, path, options)
    except ChildProcessError as error:
        raise InputError(
            f"{path} can't be opened: the process that reads its headers was killed, perhaps for want of "
            "memory. It needs about 2 kB for each file."
        ) from error


def _open(path: Path, options: Mapping[str, Any]) -> Plate:
    # That module imports this one.
    from nucbatch.readers.find import open_plate

    return open_plate(path, **options, apart_from=sys.maxsize)
