"""Runs on workers that differ in the instructions of their processors, and what they keep of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import dask
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from distributed import Client, LocalCluster, Nanny, Scheduler, SpecCluster

from nucbatch.cli.main import nucbatch
from nucbatch.core.numeric_kind import FLOAT32, Offer, in_words
from nucbatch.execution.chosen_kind import AdvertiseKinds, OtherKinds, offers_of, resource_for
from nucbatch.inference.device import offer_here
from nucbatch.networks.checkpoint import load_weights, save_weights
from nucbatch.networks.locate import locate
from nucbatch.schedulers.contract import Cluster
from nucbatch.schedulers.workers import CLUSTER_CONFIG
from nucbatch.synthetic import make_field

pytestmark = pytest.mark.slow

ELSEWHERE = "fp16-another processor"
"""A kind that no hardware has; one worker of the tests advertises it."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for seed in range(3):
        image, _ = make_field(128, np.random.default_rng(seed), nuclei=6, channels=1)
        tifffile.imwrite(folder / f"{seed}.tif", image[0])
    return folder


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default model with a card by which every kind of this machine may be used."""
    network, card = load_weights(locate("default"))
    kinds = {kind: {"pixel F1": 0.9} for kind in (FLOAT32, *offer_here().kinds)}
    path = tmp_path_factory.mktemp("model") / "scored.safetensors"
    save_weights(path, network, card.model_copy(update={"kinds": kinds}))
    return path


@pytest.fixture(scope="module")
def different() -> Iterator[SpecCluster]:
    """Two workers, one of which may use no instructions for bfloat16."""

    def nanny(**options: object) -> dict[str, object]:
        return {"cls": Nanny, "options": {"nthreads": 1, "host": "127.0.0.1", "silence_logs": 50, **options}}

    workers = {
        0: nanny(env={"ONEDNN_MAX_CPU_ISA": "AVX2"}),
        1: nanny(resources={next(iter(resource_for(ELSEWHERE) or {})): 1e9}),
    }
    spec = {"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard": False}}
    with dask.config.set(CLUSTER_CONFIG), SpecCluster(workers, spec, silence_logs="CRITICAL") as cluster:
        yield cluster


def run(images: Path, out: Path, *options: str) -> str:
    result = CliRunner().invoke(nucbatch, ["run", str(images), "-o", str(out), *options])
    assert result.exit_code == 0, result.output
    return result.output


def kind_of(out: Path) -> str:
    return str(json.loads((out / "run.json").read_text())["settings"]["precision"])


def test_workers_that_differ_compute_in_float32(
    images: Path, scored: Path, different: SpecCluster, tmp_path: Path
) -> None:
    where = ["--scheduler", different.scheduler_address, "--model", str(scored)]
    said = run(images, tmp_path, *where)
    assert kind_of(tmp_path) == FLOAT32
    if offer_here().bf16:
        assert "because the workers differ" in said
        assert f"1 worker for {in_words(offer_here().bf16)}, 1 worker for float32" in said
    document = json.loads((tmp_path / "run.json").read_text())
    assert document["numeric_kind"] == "float32"
    assert "arithmetic: float32" in CliRunner().invoke(nucbatch, ["status", str(tmp_path)]).output


def test_a_run_takes_the_kind_of_its_workers_and_keeps_it(images: Path, scored: Path, tmp_path: Path) -> None:
    best = offer_here().fastest(dict.fromkeys(offer_here().kinds, 0.0))
    command = ["--scheduler", "local", "--workers", "1", "--model", str(scored)]
    assert f"The network computes in {in_words(best)}." in run(images, tmp_path, *command)
    assert kind_of(tmp_path) == best
    again = [*command, "--precision", "auto", "--dry-run"]
    assert f"computes in {in_words(best)}, as when the run was started" in run(images, tmp_path, *again)
    if best != FLOAT32:
        changed = CliRunner().invoke(
            nucbatch, ["run", str(images), "-o", str(tmp_path), *command, "--precision", "fp32"]
        )
        assert changed.exit_code != 0
        assert f"precision: {best} → fp32" in str(changed.exception)


def test_work_for_a_kind_goes_to_its_workers_alone_and_others_are_named(different: SpecCluster) -> None:
    told: list[str] = []
    with Client(different) as client:
        client.register_plugin(AdvertiseKinds())
        offers = offers_of(client)
        assert sorted(kinds.fp16 == ELSEWHERE for _, kinds in offers.values()) == [False, True]
        here = [client.submit(os.getpid, pure=False, resources=resource_for(ELSEWHERE)) for _ in range(8)]
        assert len(set(client.gather(here))) == 1
        cluster = Cluster(client, 2, 1, 2**30)
        others = OtherKinds(cluster, ELSEWHERE, told.append)
        others.require_one()
        for _ in range(2):
            others.watch()
    assert told == [
        f"Workers on 127.0.0.1 can't compute in {in_words(ELSEWHERE)} and get no work for the network."
    ]


def test_work_that_had_no_worker_goes_to_one_that_joins_later() -> None:
    config = CLUSTER_CONFIG | {"distributed.scheduler.worker-ttl": None}
    with (
        dask.config.set(config),
        LocalCluster(n_workers=0, threads_per_worker=1, host="127.0.0.1", dashboard_address=":0") as local,
        Client(local) as client,
    ):
        client.register_plugin(AdvertiseKinds())
        waiting = client.submit(os.getpid, pure=False, resources=resource_for(FLOAT32))
        local.scale(1)
        assert waiting.result(timeout=120) > 0
        assert [offer for _, offer in offers_of(client).values()] == [Offer.of_kinds(offer_here().kinds)]
