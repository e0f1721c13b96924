"""What a backend must offer, and how one is found by name.

To add a backend: one file with such a class, and one line under ``nucbatch.schedulers`` in the entry points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, cast

from distributed import Client

from nucbatch.core.errors import InputError


@dataclass(frozen=True, slots=True)
class Resources:
    """What a run needs, and what its user asks for.

    ``workers``: processes; None means what fits the machine. ``process_bytes``: a worker without a block;
    ``block_bytes``: the projected peak of one block on top of that. ``device_bytes``: what a process takes of
    a GPU's own memory.

    Raises:
        InputError: fewer than one worker.
    """

    workers: int | None = None
    process_bytes: int = 0
    block_bytes: int = 2**30
    device_bytes: int = 2**30

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise InputError(f"{self.workers} workers can do nothing: ask for at least 1 with --workers.")


_BY_ADDRESS = "address"
"""The backend for what is no backend's name."""


def _keep_quiet(sentence: str) -> None:
    pass


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a backend works, and what only it understands.

    ``folder`` is the run's own (its ``.nucbatch``), on a file system that workers see too: for keys, job
    scripts and logs. ``name`` says whose workers these are, where others see them. ``address`` is what came
    as ``--scheduler`` where that is no backend's name. ``settings`` are the backend's own, by name, not yet
    checked. ``insecure``: the user accepts a connection that others could read or use. ``tell`` takes
    warnings for the user while the run goes on, ``inform`` what is no warning. ``leaving`` says whether they
    asked to leave: a wait for workers ends then, though none has come. ``preload`` names modules that a
    worker will need, for backends that can have them imported before.
    """

    folder: Path
    name: str = "nucbatch"
    address: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    insecure: bool = False
    tell: Callable[[str], None] = _keep_quiet
    leaving: Callable[[], bool] = _never
    preload: tuple[str, ...] = ()
    inform: Callable[[str], None] = _keep_quiet


def _all_is_well() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Cluster:
    """A connected client, and what stands behind it.

    ``workers`` is the most there may be, ``worker_bytes`` the least that one of them has. ``watch`` is called
    every few seconds while the driver waits: it puts right what it can, tells the user what they should know,
    and raises SchedulerError where no waiting will help.
    """

    client: Client
    workers: int
    threads_per_worker: int
    worker_bytes: int
    watch: Callable[[], None] = _all_is_well


class Backend(Protocol):
    """A kind of cluster."""

    def preview(self, resources: Resources, place: Place) -> str:
        """What would be started, for people; nothing is started or submitted.

        Raises:
            InputError: an unknown setting, or one of the wrong kind. SchedulerError: it can't be had here.
        """
        ...

    def connect(self, resources: Resources, place: Place) -> AbstractContextManager[Cluster]:
        """Starts or reaches a cluster; leaving the context ends what was started, and nothing else.

        Raises:
            InputError: an unknown setting, or one of the wrong kind. SchedulerError: it does not come up.
        """
        ...


def scheduler(name: str) -> Backend:
    """The backend of that name; an address (``tls://…``) or a scheduler file's path is for ``address``.

    Raises:
        InputError: there is none.
    """
    points = {point.name: point for point in entry_points(group="nucbatch.schedulers")}
    named = sorted(points.keys() - {_BY_ADDRESS})
    if name not in named and ("://" in name or name.endswith(".json") or Path(name).is_file()):
        name = _BY_ADDRESS
    elif name not in named:
        raise InputError(
            f"scheduler {name!r} is not known: use {' or '.join(named)}, or a scheduler's address "
            "(tls://HOST:PORT) or file (NAME.json)."
        )
    return cast(Backend, points[name].load()())
