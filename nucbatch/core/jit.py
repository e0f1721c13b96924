"""Compiles kernels with Numba: GIL released, cached on disk, one input layout each.

Every cluster worker is a new process. Compiling takes seconds and loading a compiled kernel milliseconds, so
kernels are cached beside the package. Numba refuses to decorate where neither the package nor the user's
cache folder is writeable (a read-only container without a home); kernels are then compiled in memory.
Inputs are made contiguous and read-only first, because Numba compiles a new version for each layout it meets.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

# Numba reads .numba_config.yaml in the current folder and unpickles files of the cache folder named there.
# Environment variables override that file. These are Numba's own defaults.
os.environ.setdefault("NUMBA_CACHE_DIR", "")
os.environ.setdefault("NUMBA_CACHE_LOCATOR_CLASSES", "")

import numba
import numpy as np
import numpy.typing as npt

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compiles a function at its first call, releases the GIL, and caches on disk where possible."""
    try:
        return cast("Callable[P, R]", numba.njit(nogil=True, cache=True)(function))
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        return cast("Callable[P, R]", numba.njit(nogil=True)(function))


def frozen(array: npt.NDArray[Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Returns a contiguous read-only view of ``dtype``, as kernels expect it; copies only where needed."""
    view = np.ascontiguousarray(array, dtype).view()
    view.flags.writeable = False
    return view
