"""Lists what this package and others register as entry points: readers, formats, networks, panels, …"""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import cast


def registered(*groups: str) -> tuple[EntryPoint, ...]:
    """Returns the entry points of some groups, in the order of the groups.

    All installed packages are read once for each import path, because that takes 30 ms of processor time.

    >>> {"cuda", "local", "slurm"} <= {point.name for point in registered("nucbatch.schedulers")}
    True
    """
    found = _all(tuple(sys.path))
    return tuple(point for group in groups for point in found.get(group, ()))


@lru_cache(maxsize=1)
def _all(path: tuple[str, ...]) -> dict[str, list[EntryPoint]]:
    """Reads the entry points of all packages on the import path, which is the cache's key."""
    found = cast(EntryPoints, entry_points())
    return {group: list(found.select(group=group)) for group in found.groups}
