"""Messages about queued jobs and the classification of worker jobs, from SLURM's output; needs no SLURM."""

from __future__ import annotations

import pytest

from nucbatch.schedulers.slurm.commands import GONE, JobState, refused
from nucbatch.schedulers.slurm.job_state import JobHealth, JobHistory
from nucbatch.schedulers.slurm.jobs import JobWorkers
from nucbatch.schedulers.slurm.slurm_settings import SlurmSettings
from nucbatch.schedulers.slurm.waiting import PendingReasons

SETTINGS = SlurmSettings(start_timeout_s=100, lost_timeout_s=10, frozen_timeout_s=50)
RUNNING, PENDING = JobState("RUNNING", "None", "n1"), JobState("PENDING", "Resources")
THERE = JobWorkers(silent_s=1, idle=False)


def news(queue: PendingReasons, reason: str, *, workers_connected: bool = False, jobs: int = 1) -> list[str]:
    states = {str(number): JobState("PENDING", reason) for number in range(1, jobs + 1)}
    return list(queue.update(states, workers_connected=workers_connected))


def test_slurms_own_reason_is_reported_once_with_what_can_be_done() -> None:
    queue = PendingReasons()
    assert news(queue, "JobHeldUser", jobs=2) == [
        "2 jobs wait in SLURM's queue: JobHeldUser (held: `scontrol release 1,2` releases them)."
    ]
    assert news(queue, "JobHeldUser", jobs=2) == []
    assert news(queue, "QOSMaxJobsPerUserLimit")[0].startswith(
        "Job 1 waits in SLURM's queue: QOSMaxJobsPerUserLimit (your jobs have reached a limit"
    )
    assert news(queue, "SomethingNew") == ["Job 1 waits in SLURM's queue: SomethingNew."]
    assert news(queue, "JobHeldUser") == [], "known already"


def test_a_reason_is_reported_again_after_no_job_waited_any_more() -> None:
    queue = PendingReasons()
    assert news(queue, "PartitionDown")
    assert list(queue.update({"1": RUNNING}, workers_connected=True)) == []
    assert news(queue, "PartitionDown")


def test_busy_nodes_are_reported_only_if_it_lasts_and_no_worker_is_connected() -> None:
    queue = PendingReasons()
    assert [bool(news(queue, "Priority")) for _ in range(7)] == [False] * 4 + [True] + [False] * 2
    queue = PendingReasons()
    assert not any(news(queue, "Priority", workers_connected=True) for _ in range(9))


def test_jobs_that_can_never_start_are_recognised() -> None:
    queue = PendingReasons()
    assert list(queue.update({"7": JobState("PENDING", "PartitionTimeLimit")}, workers_connected=False))
    assert "give less --walltime" in queue.impossible
    news(queue, "ReqNodeNotAvail, UnavailableNodes:n[1-2]")
    assert not queue.impossible
    assert "maintenance" in queue.text


@pytest.mark.parametrize(
    ("said", "mend"),
    [
        ("allocation failure: Invalid partition name specified", "--partition"),
        ("error: Invalid account or account/partition combination specified", "--account"),
        ("Invalid qos specification", "--qos"),
        ("Invalid generic resource (gres) specification", "--gres"),
        ("Invalid feature specification", "--constraint"),
        ("Requested node configuration is not available", "--memory"),
        ("Requested time limit is invalid (missing or exceeds some limit)", "--walltime"),
    ],
)
def test_a_refusal_is_slurms_own_words_and_the_option_that_mends_it(said: str, mend: str) -> None:
    assert said.rstrip(".") in str(refused(said))
    assert mend in str(refused(said))


def test_a_job_that_waits_or_works_stays() -> None:
    record = JobHistory("1")
    assert record.classify(PENDING, None, 0, SETTINGS) is JobHealth.ACTIVE
    assert record.classify(PENDING, None, 10_000, SETTINGS) is JobHealth.ACTIVE, "however long it waits"
    assert record.classify(RUNNING, None, 10_001, SETTINGS) is JobHealth.ACTIVE
    assert record.classify(RUNNING, THERE, 10_050, SETTINGS) is JobHealth.ACTIVE
    assert record.node == "n1"


def test_a_worker_that_never_connects_has_a_limited_time_from_its_jobs_start() -> None:
    record = JobHistory("1")
    assert record.classify(RUNNING, None, 1_000, SETTINGS) is JobHealth.ACTIVE
    assert record.classify(RUNNING, None, 1_100, SETTINGS) is JobHealth.ACTIVE
    assert record.classify(RUNNING, None, 1_101, SETTINGS) is JobHealth.NEVER_CONNECTED


def test_a_worker_that_comes_back_in_time_is_not_lost() -> None:
    record = JobHistory("1")
    record.classify(RUNNING, THERE, 0, SETTINGS)
    assert record.classify(RUNNING, None, 100, SETTINGS) is JobHealth.ACTIVE
    assert record.classify(RUNNING, THERE, 109, SETTINGS) is JobHealth.ACTIVE
    assert record.classify(RUNNING, None, 112, SETTINGS) is JobHealth.ACTIVE
    assert record.classify(RUNNING, None, 123, SETTINGS) is JobHealth.DISCONNECTED


def test_a_worker_that_says_nothing_is_frozen() -> None:
    assert (
        JobHistory("1").classify(RUNNING, JobWorkers(51, idle=False), 0, SETTINGS) is JobHealth.UNRESPONSIVE
    )


@pytest.mark.parametrize(
    "state", ["TIMEOUT", "CANCELLED", "NODE_FAIL", "PREEMPTED", "FAILED", "OUT_OF_MEMORY"]
)
def test_jobs_ended_by_slurm_are_lost_or_never_connected(state: str) -> None:
    assert JobHistory("1").classify(JobState(state), None, 0, SETTINGS) is JobHealth.FAILED_TO_START
    assert JobHistory("1", connected=True).classify(JobState(state), None, 0, SETTINGS) is JobHealth.LOST


def test_a_job_that_ended_by_itself_has_left_and_one_unknown_to_slurm_is_lost() -> None:
    assert (
        JobHistory("1", connected=True).classify(JobState("COMPLETED"), None, 0, SETTINGS)
        is JobHealth.COMPLETED
    )
    assert JobHistory("1").classify(JobState("COMPLETED"), None, 0, SETTINGS) is JobHealth.FAILED_TO_START
    assert JobHistory("1", connected=True).classify(GONE, None, 0, SETTINGS) is JobHealth.LOST
