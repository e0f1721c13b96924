"""The interface of a scheduler backend, and the lookup of a backend by name.

To add a backend: write one file with a class that implements :class:`Backend`, and list it in the entry
points under ``nucbatch.schedulers``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from distributed import Client

from nucbatch.core.errors import InputError
from nucbatch.core.extensions import registered


@dataclass(frozen=True, slots=True)
class Resources:
    """The workers and memory that a run needs.

    ``workers``: number of worker processes; None: as many as fit the machine. ``process_bytes``: memory of a
    worker without a block. ``block_bytes``: projected peak memory of one block, on top of that.
    ``device_bytes``: GPU memory of one process.

    Raises:
        InputError: fewer than one worker.
    """

    workers: int | None = None
    process_bytes: int = 0
    block_bytes: int = 2**30
    device_bytes: int = 2**30

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise InputError(f"a run needs at least 1 worker, not {self.workers}: set --workers.")


_BY_ADDRESS = "address"
"""The backend for a ``--scheduler`` value that is an address or a file instead of a backend's name."""


def _ignore(sentence: str) -> None:
    pass


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Place:
    """A run's folder, settings and callbacks, as a backend gets them.

    ``folder``: the run's ``.nucbatch`` folder, for keys, job scripts and logs; workers see it too.
    ``name``: the run's name, shown for example in SLURM's queue. ``address``: the value of ``--scheduler``
    where that is an address or a scheduler file. ``settings``: the backend's own settings by name, not yet
    validated. ``insecure``: the user accepts an unencrypted connection. ``tell``: takes warnings for the user
    during the run. ``inform``: takes messages that are not warnings. ``leaving``: returns True once the user
    asked to stop; a wait for workers then ends, even without a worker. ``preload``: modules that a worker
    will import; a backend may import them in advance. ``sharers``: number of clusters that share this machine
    at the same time; each takes its part of cores and memory.
    """

    folder: Path
    name: str = "nucbatch"
    address: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    insecure: bool = False
    tell: Callable[[str], None] = _ignore
    leaving: Callable[[], bool] = _never
    preload: tuple[str, ...] = ()
    inform: Callable[[str], None] = _ignore
    sharers: int = 1


def _no_watch() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Scheduling:
    """The user's choice of a scheduler.

    ``name``: name of a backend, address of a scheduler, or path of a scheduler file. ``settings``: the
    backend's own settings by name. ``insecure``: accept an unencrypted connection to another machine.
    ``workers``: number of worker processes; None: as many as fit.
    """

    name: str = "local"
    settings: Mapping[str, Any] = field(default_factory=dict)
    insecure: bool = False
    workers: int | None = None

    def place(self, folder: Path, name: str, **callbacks: Any) -> Place:
        """Returns the place for a backend; ``callbacks`` are the other attributes of :class:`Place`."""
        return Place(folder, name, self.name, self.settings, self.insecure, **callbacks)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A connected Dask client, and the size of its cluster.

    ``workers``: the largest number of workers there may be. ``worker_bytes``: memory of the smallest worker.
    ``watch``: called every few seconds while the driver waits. It replaces lost workers where it can, warns
    the user, and raises SchedulerError if the cluster can't recover. ``stays``: it serves further runs.
    """

    client: Client
    workers: int
    threads_per_worker: int
    worker_bytes: int
    watch: Callable[[], None] = _no_watch
    stays: bool = False


class Backend(Protocol):
    """Starts, or connects to, one kind of Dask cluster."""

    def preview(self, resources: Resources, place: Place) -> str:
        """Describes, for the user, the cluster that :meth:`connect` would start. Starts and submits nothing.

        Raises:
            InputError: an unknown or invalid setting. SchedulerError: not available on this machine.
        """
        ...

    def connect(self, resources: Resources, place: Place) -> AbstractContextManager[Cluster]:
        """Starts a cluster or connects to one. Leaving the context stops only what was started here.

        Raises:
            InputError: an unknown or invalid setting. SchedulerError: the cluster does not start.
        """
        ...


def scheduler(name: str) -> Backend:
    """Finds a backend by name; an address (``tls://…``) or a scheduler file selects ``address``.

    Raises:
        InputError: no backend has this name.
    """
    points = {point.name: point for point in registered("nucbatch.schedulers")}
    named = sorted(points.keys() - {_BY_ADDRESS})
    if name not in named and ("://" in name or name.endswith(".json") or Path(name).is_file()):
        name = _BY_ADDRESS
    elif name not in named:
        raise InputError(
            f"unknown scheduler {name!r}: use {' or '.join(named)}, or a scheduler's address "
            "(tls://HOST:PORT) or file (NAME.json)."
        )
    return cast(Backend, points[name].load()())
