"""The cluster of a lane is kept from plate to plate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from nucbatch.execution.screen.kept_cluster import KeptCluster
from nucbatch.schedulers.contract import Cluster, Place, Resources


class Counted:
    """A backend that starts nothing, and counts."""

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.ended = 0

    def preview(self, resources: Resources, place: Place) -> str:
        return ""

    @contextmanager
    def connect(self, resources: Resources, place: Place) -> Iterator[Cluster]:
        self.places.append(place)
        yield Cluster(cast(Any, None), 1, 2, resources.process_bytes + 2 * resources.block_bytes)
        self.ended += 1


@pytest.fixture
def kept(tmp_path: Path) -> tuple[KeptCluster, Counted]:
    cluster, backend = KeptCluster("local", tmp_path / "lane", sharers=3), Counted()
    cluster._backend = backend
    return cluster, backend


def test_a_run_that_fits_takes_the_cluster_of_the_one_before(kept: tuple[KeptCluster, Counted]) -> None:
    cluster, backend = kept
    for blocks in (100, 100, 50, 200):
        with cluster.connect(Resources(1, 10, blocks), Place(Path("run"))) as found:
            assert found.stays
    assert len(backend.places) == 2
    assert {(place.folder.name, place.sharers) for place in backend.places} == {("lane", 3)}
    cluster.close()
    assert backend.ended == 2


def test_after_an_error_the_next_run_has_a_new_cluster(kept: tuple[KeptCluster, Counted]) -> None:
    cluster, backend = kept
    with pytest.raises(RuntimeError), cluster.connect(Resources(), Place(Path("run"))):
        raise RuntimeError("the cluster is lost")
    with cluster.connect(Resources(), Place(Path("run"))):
        assert len(backend.places) == 2


def test_a_wait_for_workers_ends_by_the_signal_of_the_present_run(kept: tuple[KeptCluster, Counted]) -> None:
    cluster, backend = kept
    for leaving in (False, True):
        with cluster.connect(Resources(), Place(Path("run"), leaving=lambda leaving=leaving: leaving)):
            assert backend.places[0].leaving() == leaving
