"""Failing tasks give the receipt of a failed field or end the session."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from distributed import Client, LocalCluster

from nucbatch.core.errors import FieldFailed, PrecisionError, StoreError, WeightsError
from nucbatch.core.plate import Channel, Field, Plane, Plate
from nucbatch.core.settings import RunSettings
from nucbatch.core.signals import Stopped, StopSignal
from nucbatch.core.tiles import TileGrid
from nucbatch.execution.driver import SessionOutcome, drive
from nucbatch.execution.work_queue import NetworkInUse, WorkQueue
from nucbatch.inference.scale import Fit
from nucbatch.networks.checkpoint import read_card
from nucbatch.networks.locate import locate
from nucbatch.planning.plan import Plan
from nucbatch.schedulers.contract import Cluster
from nucbatch.store.held_receipts import HeldReceipts
from nucbatch.store.ledger import Ledger, latest_receipts
from nucbatch.store.run_folder import RunFolder

WEIGHTS = locate("default")
NETWORK = NetworkInUse(
    str(WEIGHTS), TileGrid(stride=16, halo=112, largest=2048, whole=2048), outputs=4, fit=Fit()
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0") as here,
        Client(here) as client,
    ):
        yield Cluster(client, workers=1, threads_per_worker=1, worker_bytes=2**30)


class RecordedProgress:
    def __init__(self) -> None:
        self.fields: list[str] = []
        self.done_again: list[str] = []

    def begin(self, total: int, done: int, nuclei: int) -> None:
        raise AssertionError("the driver's caller begins")

    def advance(self, receipt: object) -> None:
        self.fields.append(receipt.field)

    def again(self, receipt: object, why: str) -> None:
        self.done_again.append(receipt.field)

    def advance_image(self, name: str, doing: str, done: int, units: int) -> None:
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


def driven(
    plan: Plan, out: Path, cluster: Cluster, *, fail_fast: bool = False, stop: StopSignal | None = None
) -> tuple[RunFolder, SessionOutcome, RecordedProgress]:
    folder, progress = RunFolder(out), RecordedProgress()
    folder.create()
    with Ledger(folder, plan.settings, "input") as ledger:
        work_queue = WorkQueue(plan, folder, NETWORK, latest_receipts(folder))
        outcome = drive(work_queue, ledger, cluster, progress, stop or StopSignal(), fail_fast=fail_fast)
        return folder, outcome, progress


def test_a_field_that_fails_has_its_reason_and_the_others_go_on(
    tmp_path: Path, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    plan = plan_of(tmp_path / "in", "gone", "odd", "sound", dtype="no such type")
    folder, outcome, progress = driven(plan, tmp_path / "out", cluster)
    assert outcome == SessionOutcome(done=1, failed=2)
    assert sorted(progress.fields) == ["gone", "odd", "sound"]
    receipts = latest_receipts(folder)
    assert "can't be opened" in receipts["gone"].reason
    assert receipts["odd"].reason.startswith("TypeError: ")
    ours = [record for record in caplog.records if record.name.startswith("nucbatch")]
    (noted,) = [record for record in ours if record.exc_info]
    assert noted.getMessage() == "Field odd failed by an unexpected error"
    assert isinstance(noted.exc_info[1], TypeError)
    logged = [record.getMessage() for record in ours if record.levelname == "ERROR"]
    assert f"Field gone failed: {receipts['gone'].reason}" in logged
    assert WorkQueue(plan, folder, NETWORK, receipts).next_check().keys == ("sound",)


def test_a_field_that_fails_among_many_that_share_tasks_takes_no_other_with_it(
    tmp_path: Path, cluster: Cluster
) -> None:
    names = [f"sound{number}" for number in range(30)]
    plan = plan_of(tmp_path / "in", *names[:20], "odd", "gone", *names[20:], dtype="no such type")
    folder, outcome, progress = driven(plan, tmp_path / "out", cluster)
    assert outcome == SessionOutcome(done=30, failed=2)
    assert sorted(progress.fields) == sorted([*names, "odd", "gone"])
    failed = {key for key, receipt in latest_receipts(folder).items() if receipt.status == "failed"}
    assert failed == {"odd", "gone"}


def test_committed_fields_whose_files_exist_are_not_repeated(tmp_path: Path, cluster: Cluster) -> None:
    plan = plan_of(tmp_path / "in", "a", "b", "c")
    folder, _, _ = driven(plan, tmp_path / "out", cluster)
    folder.label_tiff("b").unlink()
    _, outcome, progress = driven(plan, folder.path, cluster)
    assert (outcome, progress.fields, progress.done_again) == (SessionOutcome(done=1, failed=0), ["b"], ["b"])


def test_fields_never_done_come_before_checks(tmp_path: Path, cluster: Cluster) -> None:
    folder, _, _ = driven(plan_of(tmp_path / "in", "a", "b"), tmp_path / "out", cluster)
    folder.label_tiff("a").unlink()
    _, _, progress = driven(plan_of(tmp_path / "in", "a", "b", "c", "d"), folder.path, cluster)
    assert (progress.fields, progress.done_again) == (["c", "d", "a"], ["a"])


def test_with_nothing_to_be_done_the_looking_needs_no_cluster(tmp_path: Path, cluster: Cluster) -> None:
    plan = plan_of(tmp_path / "in", "a", "b")
    folder, _, _ = driven(plan, tmp_path / "out", cluster)
    work_queue = WorkQueue(plan, folder, NETWORK, latest_receipts(folder))
    assert work_queue.check_all_here(threads=2) == (2, 0)
    folder.label_tiff("a").unlink()
    work_queue = WorkQueue(plan, folder, NETWORK, latest_receipts(folder))
    assert work_queue.check_all_here(threads=2) == (1, 0)
    assert work_queue.waiting == 1


def test_asked_to_fail_fast_it_ends_with_the_first_failure_and_goes_on_later(
    tmp_path: Path, cluster: Cluster
) -> None:
    names = ["gone", *(f"sound{number}" for number in range(12))]
    plan = plan_of(tmp_path / "in", *names)
    with pytest.raises(FieldFailed, match="field gone failed: gone"):
        driven(plan, tmp_path / "out", cluster, fail_fast=True)
    folder = RunFolder(tmp_path / "out")
    assert latest_receipts(folder)["gone"].status == "failed"
    assert len(latest_receipts(folder)) < len(names)
    _, outcome, _ = driven(plan, folder.path, cluster)
    assert outcome.failed == 1
    assert len(latest_receipts(folder)) == len(names)


def test_asked_to_leave_it_commits_what_is_under_way_and_hands_out_no_more(
    tmp_path: Path, cluster: Cluster
) -> None:
    plan = plan_of(tmp_path / "in", *(f"f{number}" for number in range(12)))

    class Leaving(RecordedProgress):
        def advance(self, receipt: object) -> None:
            super().advance(receipt)
            os.kill(os.getpid(), signal.SIGTERM)

    folder, progress = RunFolder(tmp_path / "out"), Leaving()
    folder.create()
    with Ledger(folder, plan.settings, "input") as ledger, StopSignal() as stop:
        with pytest.raises(Stopped) as stopped:
            drive(WorkQueue(plan, folder, NETWORK, HeldReceipts.of(())), ledger, cluster, progress, stop)
        assert stopped.value.exit_code == 128 + signal.SIGTERM
    assert 0 < len(progress.fields) < 12
    assert stopped.value.done == len(progress.fields) == len(latest_receipts(folder))
    assert driven(plan, folder.path, cluster)[1] == SessionOutcome(12 - len(progress.fields), 0)


def test_another_model_than_planned_ends_the_session(tmp_path: Path, cluster: Cluster) -> None:
    with pytest.raises(WeightsError, match="has changed since it was first read"):
        driven(plan_of(tmp_path / "in", "a", "b", model_hash="0" * 64), tmp_path / "out", cluster)


def test_a_precision_that_workers_lack_ends_the_session(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        torch.cuda, "is_available", lambda: False
    )  # a processor, also on a machine with a GPU
    plan = plan_of(tmp_path / "in", "a", "b")
    plan = replace(plan, settings=plan.settings.model_copy(update={"precision": "fp16-NVIDIA H200"}))
    with pytest.raises(PrecisionError, match="can't compute in float16 on NVIDIA H200"):
        driven(plan, tmp_path / "out", cluster)
    assert latest_receipts(RunFolder(tmp_path / "out")) == {}


def test_a_folder_that_cannot_be_written_ends_the_session(tmp_path: Path, cluster: Cluster) -> None:
    folder = RunFolder(tmp_path / "out")
    folder.create()
    folder.labels.write_text("in the way")
    with pytest.raises(StoreError, match="can't be written"):
        driven(plan_of(tmp_path / "in", "a"), folder.path, cluster)
    assert latest_receipts(folder) == {}


def test_an_image_of_several_blocks_that_cannot_be_read_is_one_failed_field(
    tmp_path: Path, cluster: Cluster
) -> None:
    plan = plan_of(tmp_path / "in", "gone", "sound", height_px=300)
    plan = replace(plan, block_px=128, largest_px=31)
    folder, outcome, progress = driven(plan, tmp_path / "out", cluster)
    assert outcome == SessionOutcome(done=1, failed=1)
    assert "can't be opened" in latest_receipts(folder)["gone"].reason
    assert latest_receipts(folder)["sound"].nuclei == 0
    assert sorted(progress.fields) == ["gone", "sound"]
