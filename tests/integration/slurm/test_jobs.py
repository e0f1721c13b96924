"""Recovery from lost, refused and cancelled worker jobs, on a real SLURM of two nodes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from distributed import as_completed

from nucbatch.core.errors import SchedulerError
from nucbatch.schedulers.connected import connected_workers
from nucbatch.schedulers.contract import Place, Resources, scheduler

pytestmark = pytest.mark.slurm

SMALL = Resources(process_bytes=200 * 2**20, block_bytes=50 * 2**20)
SCRIPTS = Path(__file__).parents[3] / "cluster" / "slurm" / "local"
JOB_ENDS_SOON = "export NUCBATCH_JOB_END=$(( $(date +%s) + {seconds} ))"
"""A prologue that sets an early end of the job for the worker."""


def scontrol(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["scontrol", *words], capture_output=True, text=True, check=False)


def end_in_a_moment(job_id: str) -> None:
    """SLURM ends a job within half a minute after its limit."""
    assert scontrol("update", f"JobId={job_id}", "EndTime=now+1").returncode == 0


@pytest.mark.parametrize("least", [1, 2], ids=["adaptive", "fixed"])
def test_a_job_that_a_user_cancels_is_replaced_and_its_work_done_elsewhere(
    session, gated, jobs, least
) -> None:
    with session(min_jobs=least, max_jobs=2) as here:
        futures = gated.submit(here.client, 4)
        here.look_until(lambda: len(gated.starts()) == 2)
        victim = gated.starts()[0][0]
        subprocess.run(["scancel", victim], check=True)
        here.look_until(lambda: here.was_reported(f"Job {victim} on"))
        here.look_until(lambda: len({job for job, _ in gated.starts()}) == 3)
        gated.open()
        here.finish(futures)
        assert here.was_reported("was ended (CANCELLED); other workers take its blocks.")


def test_jobs_come_with_the_work_and_go_with_it(session, gated, jobs) -> None:
    with session(min_jobs=1, max_jobs=3) as here:
        assert len(here.workers()) == here.cluster.client.scheduler_info()["n_workers"] == 1
        futures = gated.submit(here.client, 6)
        here.look_until(lambda: len(here.workers()) == 3)
        here.look_until(lambda: len(gated.starts()) == 3)
        assert {node for _, node in gated.starts()} == {"n1", "n2"}, "both nodes work"
        gated.open()
        here.finish(futures)
        here.look_until(lambda: len(here.workers()) == 1)
        here.eventually(lambda: len(jobs()) == 1)
        assert len(gated.starts()) == 6, "nothing was done twice"
        assert here.messages == []


def test_jobs_that_die_before_their_worker_connects_end_the_session_with_their_last_words(
    slurm, place, jobs
) -> None:
    messages: list[str] = []
    with (
        pytest.raises(SchedulerError, match=r"don't come up: 3 in a row") as error,
        scheduler("slurm").connect(
            SMALL, place(messages, prologue=["echo no such module: cuda/99 >&2; exit 3"])
        ),
    ):
        pass
    assert "ended (FAILED) before its worker connected" in str(error.value)
    assert "no such module: cuda/99" in str(error.value)
    assert len([sentence for sentence in messages if "no such module" in sentence]) == 1, (
        "not once for each job"
    )


def test_a_job_whose_worker_cannot_connect_is_given_up_after_its_time(slurm, place) -> None:
    deaf = place(prologue=["echo waiting for a licence; sleep 600"], start_timeout_s=1)
    with (
        pytest.raises(SchedulerError, match="its worker has not connected for 1 s") as error,
        scheduler("slurm").connect(SMALL, deaf),
    ):
        pass
    assert "waiting for a licence" in str(error.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"partition": "nowhere"}, r"Invalid partition.*Name an existing one with --partition"),
        ({"gres": "gpu:9", "gpu": False}, r"not available.*ask for less with .*--gres"),
        ({"memory": "900GB"}, r"not available.*ask for less with .*--memory"),
        ({"constraint": "fast"}, r"Invalid feature.*--constraint"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_refusal_by_slurm_is_reported_in_its_words_before_anything_starts(
    slurm, place, settings, said
) -> None:
    here = place(**settings)
    with pytest.raises(SchedulerError, match=said), scheduler("slurm").connect(SMALL, here):
        pass
    assert not here.folder.exists()
    assert "It can't be submitted: SLURM refuses" in scheduler("slurm").preview(SMALL, here)


def test_jobs_that_slurm_will_never_start_end_the_session(slurm, place) -> None:
    with (
        pytest.raises(SchedulerError, match=r"PartitionTimeLimit \(.*give less --walltime"),
        scheduler("slurm").connect(SMALL, place(partition="short", walltime="2:00:00")),
    ):
        pass


def test_a_wait_in_the_queue_has_slurms_reason_and_an_end(slurm, place) -> None:
    messages: list[str] = []
    with (
        pytest.raises(SchedulerError, match=r"no worker for \d s, and the limit is 2 s .*PartitionDown"),
        scheduler("slurm").connect(SMALL, place(messages, partition="closed", queue_timeout_s=2)),
    ):
        pass
    assert len(messages) == 1
    assert "PartitionDown (the partition is down" in messages[0]


def test_a_wait_in_the_queue_ends_when_the_user_asks_to_leave(slurm, place) -> None:
    messages: list[str] = []
    here = place(messages, partition="closed")
    leaving = Place(
        here.folder, here.name, settings=here.settings, tell=messages.append, leaving=lambda: bool(messages)
    )
    with scheduler("slurm").connect(SMALL, leaving) as cluster:
        assert not connected_workers(cluster.client)


def test_held_jobs_are_reported_with_the_command_that_releases_them(slurm, place) -> None:
    messages: list[str] = []

    def release(sentence: str) -> None:
        messages.append(sentence)
        command = sentence.partition("`")[2].partition("`")[0]
        assert scontrol(*command.split()[1:]).returncode == 0

    here = place(directives=["--hold"])
    released = Place(here.folder, here.name, settings=here.settings, tell=release)
    with scheduler("slurm").connect(SMALL, released) as cluster:
        assert cluster.client.submit(pow, 2, 3).result(timeout=60) == 8
    assert len(messages) == 1
    assert "JobHeldUser" in messages[0]


def test_workers_leave_before_their_jobs_end_and_nothing_is_lost_or_done_twice(session, tmp_path) -> None:
    """A run longer than any of its jobs."""
    done = tmp_path / "done"
    work = [["sh", "-c", f"sleep 0.5; echo $SLURM_JOB_ID >> '{done}'"]] * 50
    with session(max_jobs=2, min_jobs=2, prologue=[JOB_ENDS_SOON.format(seconds=14)]) as here:
        # Results are let go as they come, as the driver does.
        running = as_completed(here.client.map(subprocess.run, work, pure=False), with_results=True)
        here.look_until(lambda: list(running.next_batch(block=False)) == [] and running.is_empty())
    lines = done.read_text().split()
    assert len(lines) == 50
    assert len(set(lines)) >= 3, "jobs were replaced"
    assert here.was_reported("ended in order before its walltime.")
    assert not here.was_reported("was ended")


def test_a_block_that_no_job_has_time_for_ends_the_session_after_some_tries(session, gated) -> None:
    with session(max_jobs=2, min_jobs=2) as here:
        futures = gated.submit(here.client, 8)
        here.look_until(lambda: len(gated.starts()) == 2)
        first = {job for job, _ in gated.starts()}
        for job in first:
            end_in_a_moment(job)

        def later() -> set[str]:
            """The jobs after these; a job that is ending may still have begun a block of the other one."""
            return {job for job, _ in gated.starts()} - first

        here.look_until(lambda: len(later()) == 2)
        assert here.was_reported("was ended (TIMEOUT); other workers take its blocks.")
        for job in later():
            end_in_a_moment(job)
        with pytest.raises(
            SchedulerError, match=r"in a row ended \(TIMEOUT\) without finishing a block: .*--walltime"
        ):
            here.look_until(lambda: all(future.done() for future in futures))


def test_a_node_that_dies_is_noticed_and_its_job_replaced(slurm, session, gated) -> None:
    with session(max_jobs=2, min_jobs=2, lost_timeout_s=1) as here:
        futures = gated.submit(here.client, 2)
        here.look_until(lambda: {node for _, node in gated.starts()} == {"n1", "n2"})
        subprocess.run([SCRIPTS / "crash-node.sh", slurm, "n2", "KILL"], check=True)
        try:
            here.look_until(lambda: len(gated.starts()) == 3)
            assert gated.starts()[2][1] == "n1"
            gated.open()
            here.finish(futures)
            assert here.was_reported("on n2 is cancelled: its worker was disconnected for 1 s.")
        finally:
            subprocess.run(
                ["slurmd", "-N", "n2"],
                check=True,
                env=os.environ | {"PATH": os.environ["PATH"] + ":/usr/sbin"},
            )


def test_a_node_that_freezes_is_given_up(slurm, session, gated) -> None:
    with session(max_jobs=2, min_jobs=2, frozen_timeout_s=3) as here:
        futures = gated.submit(here.client, 2)
        here.look_until(lambda: {node for _, node in gated.starts()} == {"n1", "n2"})
        subprocess.run([SCRIPTS / "crash-node.sh", slurm, "n2", "STOP"], check=True)
        try:
            here.look_until(lambda: len(gated.starts()) == 3)
            gated.open()
            here.finish(futures)
            assert here.was_reported("on n2 is cancelled: its worker did not respond for 3 s.")
        finally:
            subprocess.run([SCRIPTS / "crash-node.sh", slurm, "n2", "CONT"], check=True)


def test_a_worker_job_is_never_requeued_by_slurm(session, jobs) -> None:
    with session() as here:
        (job,) = jobs()
        asked = scontrol("requeue", job)
        assert asked.returncode != 0, "SLURM would start it again under a name already in use"
        assert "disabled" in asked.stderr
        assert here.client.submit(pow, 2, 3).result(timeout=60) == 8


def test_jobs_leave_when_the_driver_is_killed(slurm, place, jobs, eventually, tmp_path) -> None:
    driver = tmp_path / "driver.py"
    driver.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from nucbatch.schedulers.contract import Place, Resources, scheduler\n"
        "if __name__ == '__main__':\n"
        f"    place = Place(Path({str(tmp_path / 'run')!r}), settings={dict(place().settings)!r})\n"
        f"    with scheduler('slurm').connect(Resources(None, {200 * 2**20}, {50 * 2**20}), place):\n"
        "        print('connected', flush=True)\n"
        "        sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, driver], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "connected\n"
        assert len(jobs()) == 1
        process.send_signal(signal.SIGKILL)
    eventually(lambda: not jobs())
    assert (tmp_path / "run" / "keys" / "session.key").exists(), "what a killed session leaves,"
    with scheduler("slurm").connect(SMALL, place()):
        pass
    assert not (tmp_path / "run" / "keys").exists(), "the next removes"
