"""Asks a Dask scheduler for its workers."""

from __future__ import annotations

from typing import Any

from distributed import Client


def connected_workers(client: Client) -> dict[str, dict[str, Any]]:
    """Returns the scheduler's information on each connected worker, by address.

    Empty also while the scheduler can't be reached. ``Client.scheduler_info`` is not used: it returns what
    the client remembers, which a refresh in the background replaces with a list of no workers.

    Args:
        client: a synchronous client of the scheduler.
    """
    if client.status != "running":
        return {}
    try:
        found: dict[str, dict[str, Any]] = client.sync(client.scheduler.identity, n_workers=-1)["workers"]
    except OSError:  # the client reconnects, or its status changes
        return {}
    return found
