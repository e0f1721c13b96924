"""A scheduler with a single worker process on this machine, whatever it has: for a shared desktop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from nucbatch.schedulers.contract import Cluster, Place, Resources
from nucbatch.schedulers.local import Local


class OneWorker:
    """The local scheduler, held to one worker."""

    def preview(self, resources: Resources, place: Place) -> str:
        """What would be started."""
        return Local().preview(replace(resources, workers=1), place)

    @contextmanager
    def connect(self, resources: Resources, place: Place) -> Iterator[Cluster]:
        """One worker process, ended with the context."""
        with Local().connect(replace(resources, workers=1), place) as cluster:
            yield cluster
