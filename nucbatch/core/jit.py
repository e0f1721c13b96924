"""How kernels are compiled: without the GIL, kept on disk, and for one kind of array each.

A cluster's worker is a new process; compiling takes seconds, loading a compiled kernel milliseconds, so
kernels are cached beside the package. Where neither the package nor the user's cache folder can be written
(a read-only container without a home) Numba refuses to decorate at all; kernels then compile in memory.
Inputs are made contiguous and read-only first, because Numba compiles anew for each layout it meets.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

# Numba reads .numba_config.yaml of the current folder, and unpickles files of the cache folder that it names.
# A variable wins over that file; these are Numba's own defaults.
os.environ.setdefault("NUMBA_CACHE_DIR", "")
os.environ.setdefault("NUMBA_CACHE_LOCATOR_CLASSES", "")

import numba
import numpy as np
import numpy.typing as npt

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile at the first call; release the GIL; cache on disk where a place for it can be written."""
    try:
        return cast("Callable[P, R]", numba.njit(nogil=True, cache=True)(function))
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        return cast("Callable[P, R]", numba.njit(nogil=True)(function))


def frozen(array: npt.NDArray[Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """A contiguous read-only view (a copy only where needed), the one kind of input kernels take."""
    view = np.ascontiguousarray(array, dtype).view()
    view.flags.writeable = False
    return view
