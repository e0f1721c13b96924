"""What the driver makes of tasks that fail: one field's receipt, or the end of the sitting."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from distributed import Client, LocalCluster

from nucbatch.errors import StoreError, WeightsError
from nucbatch.execution.run import Network, Outcome, committed, drive
from nucbatch.networks.checkpoint import locate, read_card
from nucbatch.planning.plan import Plan
from nucbatch.plate import Channel, Field, Plane, Plate
from nucbatch.schedulers.contract import Cluster
from nucbatch.settings import RunSettings
from nucbatch.store.folder import RunFolder
from nucbatch.store.ledger import Ledger, latest
from nucbatch.tiles import TileGrid

WEIGHTS = locate("default")
NETWORK = Network(str(WEIGHTS), TileGrid(stride=16, halo=112, largest=2048), outputs=4, zoom=1.0)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as here,
        Client(here) as client,
    ):
        yield Cluster(client, workers=1, threads_per_worker=1, worker_bytes=2**30)


class Told:
    def __init__(self) -> None:
        self.fields: list[str] = []

    def begin(self, total: int, committed: object) -> None:
        raise AssertionError("the driver's caller begins")

    def advance(self, receipt: object) -> None:
        self.fields.append(receipt.field)

    def course(self, name: str, doing: str, done: int, units: int) -> None:
        assert 0 <= done <= units

    def note(self, sentence: str) -> None:
        raise AssertionError(sentence)


def plan_of(folder: Path, *names: str, model_hash: str | None = None, **change: object) -> Plan:
    folder.mkdir(exist_ok=True)
    fields = []
    for site, name in enumerate(names, start=1):
        if name != "gone":
            tifffile.imwrite(folder / f"{name}.tif", np.zeros((32, 32), np.uint8))
        made = {"height_px": 32, "width_px": 32, "dtype": "uint8"} | (change if name == "odd" else {})
        fields.append(Field("", site, 0, name, name, (Plane(f"{name}.tif", "Grey"),), **made))
    plate = Plate("p", str(folder), "folder", (Channel("Grey", 0),), tuple(fields), (), is_plate=False)
    known = read_card(WEIGHTS).sha256 if model_hash is None else model_hash
    return Plan(plate, RunSettings(channel="Grey", model_hash=known, labels="tiff"))


def driven(plan: Plan, out: Path, cluster: Cluster) -> tuple[RunFolder, Outcome, list[str]]:
    folder, told = RunFolder(out), Told()
    folder.create()
    with Ledger(folder, plan.settings, "input") as ledger:
        held = committed(plan, folder)
        return folder, drive(plan, held, folder, ledger, cluster, NETWORK, told), told.fields


def test_a_field_that_fails_has_its_reason_and_the_others_go_on(tmp_path: Path, cluster: Cluster) -> None:
    plan = plan_of(tmp_path / "in", "gone", "odd", "sound", dtype="no such type")
    folder, outcome, told = driven(plan, tmp_path / "out", cluster)
    assert outcome == Outcome(done=1, failed=2)
    assert sorted(told) == ["gone", "odd", "sound"]
    receipts = latest(folder)
    assert "can't be opened" in receipts["gone"].reason
    assert receipts["odd"].reason.startswith("TypeError: ")
    noted = (folder.logs / "failures.log").read_text()
    assert noted.startswith("odd\nTraceback")
    assert "read_field" in noted
    assert set(committed(plan, folder)) == {"sound"}


def test_what_is_committed_and_still_there_is_not_done_again(tmp_path: Path, cluster: Cluster) -> None:
    plan = plan_of(tmp_path / "in", "a", "b")
    folder, _, _ = driven(plan, tmp_path / "out", cluster)
    folder.label_tiff("b").unlink()
    assert driven(plan, folder.path, cluster)[1:] == (Outcome(done=1, failed=0), ["b"])


def test_another_model_than_planned_ends_the_sitting(tmp_path: Path, cluster: Cluster) -> None:
    with pytest.raises(WeightsError, match="changed while the run was going"):
        driven(plan_of(tmp_path / "in", "a", "b", model_hash="0" * 64), tmp_path / "out", cluster)


def test_a_folder_that_cannot_be_written_ends_the_sitting(tmp_path: Path, cluster: Cluster) -> None:
    folder = RunFolder(tmp_path / "out")
    folder.create()
    folder.labels.write_text("in the way")
    with pytest.raises(StoreError, match="can't be written"):
        driven(plan_of(tmp_path / "in", "a"), folder.path, cluster)
    assert latest(folder) == {}


def test_an_image_of_several_blocks_that_cannot_be_read_is_one_failed_field(
    tmp_path: Path, cluster: Cluster
) -> None:
    plan = plan_of(tmp_path / "in", "gone", "sound", height_px=300)
    plan = replace(plan, block_px=128, largest_px=31)
    folder, outcome, told = driven(plan, tmp_path / "out", cluster)
    assert outcome == Outcome(done=1, failed=1)
    assert "can't be opened" in latest(folder)["gone"].reason
    assert latest(folder)["sound"].nuclei == 0
    assert sorted(told) == ["gone", "sound"]
