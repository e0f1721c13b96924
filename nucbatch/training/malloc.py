"""Makes the C library keep freed memory for the next training step.

Each step needs about the same gigabyte. By default glibc returns large freed blocks to the system, which then
hands out new pages and zeroes each: a third of a step's time on a CPU. The setting affects the whole process,
so the command line makes it, and ``train`` as a function does not.
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # as malloc.h numbers them
_INT_MAX = 2**31 - 1


def keep_freed_memory() -> bool:
    """Makes malloc keep freed memory in this process; returns False if it can't (no glibc)."""
    tell = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if tell is None:
        return False
    asked = ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, _INT_MAX))
    return all(tell(name, value) == 1 for name, value in asked)
