"""A training keeps its memory from step to step.

The decision owned here: each step needs the same gigabyte again, and the C library by default gives large
blocks back to the system at once, which then hands out fresh pages, zeroed one by one: a third of a step on
a CPU. It is told to keep them. That is for a process of its own, so the command line asks for it; ``train``
as a function leaves its caller's process alone.
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # as malloc.h numbers them
_INT_MAX = 2**31 - 1


def keep_memory() -> bool:
    """Has malloc keep what is freed in this process; False where it can't be told so (no glibc)."""
    tell = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if tell is None:
        return False
    asked = ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, _INT_MAX))
    return all(tell(name, value) == 1 for name, value in asked)
