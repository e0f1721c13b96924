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
    """What a run needs, and what its user asks for.

    ``workers``: processes; None means what fits the machine. ``process_bytes``: a worker without a block;
    ``block_bytes``: the projected peak of one block on top of that.

    Raises:
        InputError: fewer than one worker.
    """

    workers: int | None = None
    process_bytes: int = 0
    block_bytes: int = 2**30

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise InputError(f"{self.workers} workers can do nothing: ask for at least 1 with --workers.")


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
        raise InputError(f"scheduler {name!r} is not known: use {' or '.join(sorted(points))}.")
    return cast(Connect, points[name].load())
