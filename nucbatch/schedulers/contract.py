"""What a backend must offer, and how one is found by name.

To add a backend: one file with such a function, and one line under ``nucbatch.schedulers`` in the entry
points.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Protocol, cast

from distributed import Client

from nucbatch.errors import InputError


@dataclass(frozen=True, slots=True)
class Resources:
    """What a user asks for; None means what fits the machine. ``block_bytes``: projected peak of a block."""

    workers: int | None = None
    block_bytes: int = 2**30


@dataclass(frozen=True, slots=True)
class Cluster:
    """A connected client, and what stands behind it."""

    client: Client
    workers: int
    threads_per_worker: int
    worker_bytes: int


class Connect(Protocol):
    """Starts or reaches a cluster; leaving the context closes what was started."""

    def __call__(self, resources: Resources) -> AbstractContextManager[Cluster]: ...


def scheduler(name: str) -> Connect:
    """The backend of that name.

    Raises:
        InputError: there is none.
    """
    points = {point.name: point for point in entry_points(group="nucbatch.schedulers")}
    if name not in points:
        raise InputError(f"scheduler {name!r} is not known: there are {', '.join(sorted(points))}.")
    return cast(Connect, points[name].load())
