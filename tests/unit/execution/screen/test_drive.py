"""Which plates of a screen an earlier session has settled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from nucbatch.core.segmentation_options import SegmentationOptions
from nucbatch.execution.run_request import InputOptions, RunRequest
from nucbatch.execution.screen.drive import ScreenResult, _begin, finished
from nucbatch.execution.screen.lane import LaneJob, Outcome
from nucbatch.execution.screen.screen_files import RECORD
from nucbatch.schedulers.contract import Scheduling


def test_complete_plates_are_skipped_for_the_same_settings_only(tmp_path: Path) -> None:
    request = RunRequest(InputOptions(Path("screen")), SegmentationOptions(model="otsu-watershed"))
    job = LaneJob(request, tmp_path / "out", Scheduling())
    other = replace(job, request=replace(request, labels="both"))
    assert not _begin([], job, writes=True)
    record = (job.out / RECORD).read_bytes()
    assert _begin([], job, writes=True)
    assert not _begin([], other, writes=True)
    assert (job.out / RECORD).read_bytes() == record
    assert not _begin([], replace(other, restart=True), writes=True)
    assert not _begin([], job, writes=False)


def test_a_folder_without_a_finished_run_is_no_complete_plate(tmp_path: Path) -> None:
    (tmp_path / "wells.csv").touch()
    assert finished(tmp_path) is None
    assert finished(tmp_path / "gone") is None


def test_the_exit_code_tells_whether_all_some_or_no_plates_are_done() -> None:
    codes = {
        ("complete",): 0,
        ("complete", "failed"): 3,
        ("failures",): 3,
        ("failed", "failed"): 1,
    }
    for statuses, code in codes.items():
        assert ScreenResult(tuple(Outcome("plate", status) for status in statuses)).exit_code == code
