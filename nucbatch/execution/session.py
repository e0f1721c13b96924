"""One session of a run, from the lock on its folder to its report.

A session reads the ledger, processes the remaining fields on a cluster, and then writes tables and report
from the files on disk. A session that is stopped early writes neither; the session that finishes the run
does.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nucbatch.core.errors import FieldFailed
from nucbatch.core.plate import FileStatus, Plate
from nucbatch.execution.driver import SessionOutcome
from nucbatch.execution.in_place import (
    require_images_of_their_own,
)
from nucbatch.execution.prepared import Prepared
from nucbatch.execution.run_log import run_log
from nucbatch.execution.run_progress import Progress, SilentProgress
from nucbatch.execution.session_steps import Asked, Session
from nucbatch.execution.session_workers import SessionWorkers
from nucbatch.schedulers.contract import Backend, Scheduling, scheduler
from nucbatch.store.lock import holder, run_lock
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.session_record import earlier_work

if TYPE_CHECKING:
    from nucbatch.execution.finalise import Totals
    from nucbatch.execution.run_in_store import RunInStore


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of a run: its folder, ``totals`` of the whole run and ``outcome`` of this session.

    ``experiment``: sentences about controls and curves.
    """

    folder: RunFolder
    is_plate: bool
    totals: Totals
    outcome: SessionOutcome
    experiment: tuple[str, ...] = ()


def execute(
    prepared: Prepared,
    out: Path,
    *,
    scheduling: Scheduling | None = None,
    backend: Backend | None = None,
    restart: bool = False,
    keep_probabilities: bool = False,
    reuse_probabilities: bool = False,
    fail_fast: bool = False,
    verify: bool = False,
    progress: Progress | None = None,
    to_store: RunInStore | None = None,
) -> RunResult:
    """Executes a prepared run in a folder, or resumes the run that was started there.

    Args:
        prepared: the run.
        out: the run's folder; created if it does not exist.
        scheduling: where the work runs; None: on this machine's CPU.
        backend: used instead of the scheduler's own, to keep a cluster for several runs.
        restart: delete what an earlier run left in ``out``.
        keep_probabilities: keep the probabilities of fields of one block too; those of large images always
            are.
        reuse_probabilities: start anew, but with the probabilities that are kept, so that only objects,
            measurements and tables are made again; settings that change the probabilities must be the same.
            Fields whose probabilities are missing or damaged go through the network, and are kept.
        fail_fast: stop at the first field that fails; do not start if a file is quarantined.
        verify: read every file of done fields and compare its checksum, not only its size and time.
        progress: reports to the user; None: nothing is reported.
        to_store: sends the results to a store, if ``out`` is the working folder of a run there.

    Raises:
        InputError: invalid scheduler or number of workers, or fields that can't be normalised as one plate.
        SettingsConflict: ``out`` has a run with other settings or another input.
        RunLocked: another driver uses the folder.
        MemoryRefused: a field is too large for a worker.
        FieldFailed: a field failed, with ``fail_fast``.
        StoreError: the folder can't be written. SchedulerError: the cluster failed.
        PrecisionError: no worker can compute in the run's precision.
        Stopped: SIGINT (Ctrl-C), SIGTERM or SIGUSR1 arrived in the main thread; raised once the running
            blocks are committed.
    """
    started, began = time.perf_counter(), time.time()
    plan = prepared.plan
    if fail_fast:
        _require_sound(plan.plate)
    scheduling, progress = scheduling or Scheduling(), progress or SilentProgress()
    backend = backend or scheduler(scheduling.name)
    # Absolute, because workers may have another working directory.
    in_place = Path(plan.plate.root) if plan.settings.labels == "in-place" else None
    folder = RunFolder(out.absolute(), in_place=in_place)
    if in_place is not None:
        require_images_of_their_own(plan)
    folder.create()
    left_by = holder(folder)
    last_beat = None if left_by is None else began - left_by.beat_age_s
    asked = Asked(restart, keep_probabilities, reuse_probabilities, fail_fast, verify)
    with (
        run_lock(folder) as lock,
        run_log(folder, progress.note) as log,
        SessionWorkers(scheduling, backend, folder) as workers,
    ):
        session = Session(prepared, folder, workers, progress, asked, to_store)
        session.settle(log)
        earlier = earlier_work(folder, last_beat)
        receipts, mended = session.receipts()
        with session.ledger(lock) as ledger:
            work_queue = session.queue(receipts, mended)
            del receipts  # the queue holds them as long as it needs them
            record = session.begin(work_queue, ledger, began, earlier)
            ended, receipts = session.work(work_queue, ledger, lock, record)
        taken_s = time.perf_counter() - started
        evaluated = session.describe(ended, receipts, taken_s)
        del receipts  # the report reads the tables instead
        session.report(ended, taken_s)
    return RunResult(RunFolder(out), plan.plate.is_plate, ended.totals, ended.outcome, evaluated)


def _require_sound(plate: Plate) -> None:
    bad = next((file for file in plate.files if file.status is FileStatus.QUARANTINED), None)
    if bad is not None:
        raise FieldFailed(
            f"{bad.path} can't be used: {bad.reason}. With --fail-fast the run does not start; without it, "
            "the same command processes all other fields."
        )
