"""Chooses the numeric kind of a run from its workers, and keeps network work away from others.

Each worker advertises the kinds that it can compute as resources of Dask. Network work asks for the resource
of the run's kind, so it never reaches a worker without it, also one that joins later.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol
from uuid import uuid4

from distributed import Client, Worker, WorkerPlugin
from distributed.core import Status

from nucbatch.core.errors import PrecisionError
from nucbatch.core.log_file import NOTE
from nucbatch.core.numeric_kind import FLOAT32, Offer, decide, in_words, is_kind, keeps
from nucbatch.core.settings import RunSettings
from nucbatch.core.signals import Stopped, StopSignal
from nucbatch.execution.prepared import Prepared
from nucbatch.readers.names import plural
from nucbatch.schedulers.connected import connected_workers
from nucbatch.schedulers.contract import Cluster

_log = logging.getLogger(__name__)

_RESOURCE = "nucbatch computes "
_ENOUGH = 1e9
"""Amount of a resource; it limits nothing."""
_MOST_HOSTS = 5
_POLL_S = 1.0
_ANSWER_S = 300.0
"""Timeout for workers to advertise their kinds, for which they import PyTorch."""


def resource_for(kind: str) -> dict[str, float] | None:
    """Returns what a task that needs this kind asks of a worker; None for an empty kind, which is any."""
    return {_RESOURCE + kind: 1} if kind else None


class AdvertiseKinds(WorkerPlugin):  # type: ignore[misc]  # distributed has no types here
    """Advertises the kinds that a worker can compute, when it joins.

    Each run has a plugin of its own, because another run on the same cluster may end before it.
    """

    def __init__(self) -> None:
        self.name = f"nucbatch-kinds-{uuid4().hex}"

    async def setup(self, worker: Worker) -> None:
        # Importing PyTorch may take a minute from a slow disk, in which the worker must still answer.
        kinds = await asyncio.to_thread(_kinds_here)
        resources = {_RESOURCE + kind: _ENOUGH for kind in kinds}
        if resources.keys() <= worker.state.total_resources.keys():
            return
        await worker.set_resources(**resources)
        if worker.status == Status.running:
            # Dask looks for tasks that had no worker only when a worker joins or continues after a pause.
            worker.status = Status.paused
            worker.status = Status.running


def _kinds_here() -> tuple[str, ...]:
    from nucbatch.inference.device import offer_here

    return offer_here().kinds


def offers_of(client: Client) -> dict[str, tuple[str, Offer]]:
    """Returns the host and the kinds of each connected worker that advertises them, by address."""
    found: dict[str, tuple[str, Offer]] = {}
    for address, info in connected_workers(client).items():
        kinds = [name.removeprefix(_RESOURCE) for name in info["resources"] if name.startswith(_RESOURCE)]
        if kinds:
            found[address] = str(info["host"]), Offer.of_kinds(kinds)
    return found


@contextmanager
def advertised_kinds(cluster: Cluster) -> Iterator[None]:
    """Makes all workers, also those that join later, advertise their kinds while the context lasts."""
    client, plugin = cluster.client, AdvertiseKinds()
    try:
        client.sync(lambda: client.register_plugin(plugin), callback_timeout=_ANSWER_S)
    except (OSError, TimeoutError) as error:  # those that don't answer get no work for the network
        _log.warning("Some workers don't say what they compute: %s", error or "no answer in time", extra=NOTE)
    try:
        yield
    finally:
        if client.status == "running" and (cluster.stays or client.cluster is None):
            try:
                client.sync(lambda: client.unregister_worker_plugin(plugin.name), callback_timeout=_ANSWER_S)
            except (OSError, TimeoutError) as error:
                _log.warning("Some workers kept a plugin: %s", error or "no answer in time")


def with_kind(
    prepared: Prepared, begun: RunSettings | None, workers: ConnectedWorkers
) -> tuple[Prepared, str]:
    """Adds the numeric kind to the run's settings.

    Args:
        prepared: the run.
        begun: the settings with which the run was started, if it was; their kind is kept.
        workers: those of the session, which are asked if the run is new.

    Returns:
        The run and a message with the kind and its reason; empty if the run uses no weights or is continued.

    Raises:
        PrecisionError: no worker can compute what is asked.
        Stopped: a signal arrived before a worker had joined.
    """
    asked = prepared.plan.settings.precision
    if prepared.masks is not None or not prepared.plan.selected:
        return _with(prepared, FLOAT32), ""
    if begun is not None:
        # Otherwise the folder is refused, with the difference.
        kept = is_kind(begun.precision) and keeps(asked, begun.precision)
        return _with(prepared, begun.precision if kept else asked), ""
    cluster, stop = workers.connect(prepared)
    # Jobs of a cluster may still be queued: without a worker nothing can be decided.
    while not (offers := [offer for _, offer in offers_of(cluster.client).values()]):
        if stop.signal:
            raise Stopped(stop.signal, 0, "fields in this session")
        cluster.watch()
        time.sleep(_POLL_S)
    if asked == "auto" and not prepared.card.has_weights:
        # A classical method takes no time beside reading and writing: no other kind would pay.
        return _with(prepared, decide("fp32", offers, {}).kind), ""
    decision = decide(asked, offers, prepared.card.differences)
    return _with(prepared, decision.kind), decision.sentence


class ConnectedWorkers(Protocol):
    """Starts the workers of a session, or connects to them, at the first call."""

    def connect(self, prepared: Prepared) -> tuple[Cluster, StopSignal]:
        """Returns the workers and the signal that asks to stop."""
        ...


def _with(prepared: Prepared, kind: str) -> Prepared:
    settings = prepared.plan.settings.model_copy(update={"precision": kind})
    return replace(prepared, plan=replace(prepared.plan, settings=settings))


class OtherKinds:
    """Names workers that can't compute in the run's kind, when they are there and as they join."""

    def __init__(self, cluster: Cluster, kind: str, tell: Callable[[str], None]) -> None:
        self._cluster, self._kind, self._tell = cluster, kind, tell
        self._told: set[tuple[str, Offer]] = set()

    def require_one(self) -> None:
        """Checks that a worker computes in the run's kind, or may still join.

        Raises:
            PrecisionError: all workers are there, and none does.
        """
        there = list(offers_of(self._cluster.client).values())
        if len(there) >= self._cluster.workers and not any(self._kind in offer.kinds for _, offer in there):
            able = ", ".join(
                in_words(kind) for kind in sorted({k for _, offer in there for k in offer.kinds})
            )
            raise PrecisionError(
                f"the run computes in {in_words(self._kind)}, which none of {plural(len(there), 'worker')} "
                f"can; they compute in {able}. Use workers like those that it was started with, or start "
                "over with --restart."
            )

    def watch(self) -> None:
        """Names workers of another kind that have not been named."""
        others = {one for one in offers_of(self._cluster.client).values() if self._kind not in one[1].kinds}
        new = others - self._told
        self._told |= new
        if new:
            hosts = sorted({host for host, _ in new})
            more = f" and {len(hosts) - _MOST_HOSTS:,} more" if len(hosts) > _MOST_HOSTS else ""
            self._tell(
                f"Workers on {', '.join(hosts[:_MOST_HOSTS])}{more} can't compute in "
                f"{in_words(self._kind)} and get no work for the network."
            )

    def watched(self) -> Cluster:
        """Returns the cluster with a watch that also names workers of another kind."""
        before = self._cluster.watch

        def watch() -> None:
            self.watch()
            before()

        return replace(self._cluster, watch=watch)
