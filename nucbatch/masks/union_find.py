"""Union-find with path halving, as kernels that other kernels call.

The representative of a set is its smallest member, and sets are numbered in the order of their
representatives. Members listed in raster order therefore give sets in raster order of their first pixels,
so ties between sets depend on position alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.jit import kernel


@kernel
def first_of(leader: NDArray[np.uint32], member: int) -> int:  # pragma: no cover (compiled)
    """Returns the smallest member of a set, with path halving."""
    while leader[member] != member:
        leader[member] = leader[leader[member]]
        member = leader[member]
    return member


@kernel
def unite(leader: NDArray[np.uint32], one: int, other: int) -> None:  # pragma: no cover (compiled)
    """Joins the sets of two members."""
    one, other = first_of(leader, one), first_of(leader, other)
    if one < other:
        leader[other] = one
    else:
        leader[one] = other


@kernel
def number(leader: NDArray[np.uint32], begin: int, end: int) -> int:  # pragma: no cover (compiled)
    """Replaces the smallest member of each set by the set's number, for members in [``begin``, ``end``).

    Returns the number after the last.
    """
    count = begin
    for member in range(begin, end):
        if leader[member] == member:
            leader[member] = count
            count += 1
        else:  # a leader comes before its members: it has its number already
            leader[member] = leader[leader[member]]
    return count
