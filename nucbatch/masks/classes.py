"""Which of many numbered things are one: union-find, as kernels that other kernels call.

The decision owned here: a class is called by its first member, and classes are numbered in the order of
these. Whoever lists things in raster order gets classes in raster order of their first pixels, so that ties
between classes are decided by place alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucbatch.jit import kernel


@kernel
def first_of(leader: NDArray[np.uint32], member: int) -> int:  # pragma: no cover (compiled)
    """The first member of a thing's class; ways to it are halved as they are walked."""
    while leader[member] != member:
        leader[member] = leader[leader[member]]
        member = leader[member]
    return member


@kernel
def unite(leader: NDArray[np.uint32], one: int, other: int) -> None:  # pragma: no cover (compiled)
    """Makes the classes of two things one."""
    one, other = first_of(leader, one), first_of(leader, other)
    if one < other:
        leader[other] = one
    else:
        leader[one] = other


@kernel
def number(leader: NDArray[np.uint32], begin: int, end: int) -> int:  # pragma: no cover (compiled)
    """Turns the leaders of ``begin``..``end`` - 1 into numbers of classes, from ``begin`` on; returns the
    number that would come next."""
    count = begin
    for member in range(begin, end):
        if leader[member] == member:
            leader[member] = count
            count += 1
        else:  # a leader comes before its members: it has its number already
            leader[member] = leader[leader[member]]
    return count
