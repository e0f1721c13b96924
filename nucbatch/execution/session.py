"""One session of a run, from the lock on its folder to its report.

A session reads the ledger, processes the remaining fields on a cluster, and then writes tables and report
from the files on disk. A session that is stopped early writes neither; the session that finishes the run
does.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucbatch.core.errors import DamagedFile, FieldFailed
from nucbatch.core.log_file import NOTE, SHOWN
from nucbatch.core.plate import FileStatus, Plate
from nucbatch.execution.check import CheckResult
from nucbatch.execution.chosen_kind import OtherKinds, with_kind
from nucbatch.execution.driver import SessionOutcome, drive
from nucbatch.execution.end_ahead import load_end_ahead
from nucbatch.execution.in_place import (
    remove_earlier_labels,
    remove_partials_in_place,
    require_free_images,
    require_images_of_their_own,
)
from nucbatch.execution.job import made_of_field
from nucbatch.execution.moved_plate import about, as_begun
from nucbatch.execution.plate_constants import with_plate_constants
from nucbatch.execution.plate_scale import with_plate_scale
from nucbatch.execution.prepared import Prepared
from nucbatch.execution.run_card import Timings, run_card
from nucbatch.execution.run_log import log_plan, log_totals, run_log
from nucbatch.execution.run_progress import Progress, SilentProgress
from nucbatch.execution.session_workers import SessionWorkers
from nucbatch.execution.work_queue import NetworkInUse, WorkQueue
from nucbatch.experiment.join import addresses_of, describe
from nucbatch.readers.names import plural
from nucbatch.readers.plate_cache import cache_content, content_to_show, is_cached
from nucbatch.schedulers.contract import Backend, Scheduling, scheduler
from nucbatch.schedulers.local import cores
from nucbatch.store.atomic import remove_partials, write_bytes
from nucbatch.store.clear_run import clear_run
from nucbatch.store.compared import input_digest, record_compared, were_compared
from nucbatch.store.images import create_images
from nucbatch.store.ledger import (
    Ledger,
    continues_run,
    latest_receipts,
    make_header,
    plate_digest,
    require_probabilities,
    same_images,
    started_settings,
)
from nucbatch.store.lock import holder, run_lock
from nucbatch.store.recover import recover
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.session_record import SessionRecord, earlier_work, write_session
from nucbatch.store.sheets import write_run

if TYPE_CHECKING:
    from nucbatch.execution.finalise import Totals
    from nucbatch.execution.run_in_store import RunInStore
    from nucbatch.experiment.description import Experiment


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


_MOST_LINES = 20

_log = logging.getLogger(__name__)

_CHANGED = "Done fields whose files have changed are processed again"
_GONE = (
    "Done fields whose files are gone, or can't be used any more, are left out of the tables; put the files "
    "back and run the same command to have their results again"
)


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
    plan, started, began = prepared.plan, time.perf_counter(), time.time()
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
    with (
        run_lock(folder) as lock,
        run_log(folder, progress.note) as log,
        SessionWorkers(scheduling, backend, folder) as workers,
    ):
        experiment = prepared.experiment or (None if restart else _remembered(folder))
        if restart:
            remove_earlier_labels(plan, folder)
            clear_run(folder, keep=log)
        begun_with = started_settings(folder)
        plan, alike = with_plate_constants(plan, begun_with, cores())
        prepared, measured = with_plate_scale(replace(prepared, plan=plan), begun_with, cores())
        prepared, computes = with_kind(prepared, begun_with, workers)
        plan = prepared.plan
        log_plan(prepared, plan)
        for sentence in filter(None, (alike, measured, computes)):
            _log.info(sentence, extra=NOTE)
        if not restart and reuse_probabilities and not continues_run(folder, plan.settings):
            require_probabilities(folder, plan.settings)
            remove_earlier_labels(plan, folder)
            clear_run(folder, keep_maps=True, keep_images=same_images(begun_with, plan.settings), keep=log)

        earlier_s, earlier_fields = earlier_work(folder, last_beat)

        def header() -> dict[str, Any]:
            return make_header(plan.settings, plate_digest(plan.plate)) | about(plan.plate)

        mended = recover(folder, header, ((field, made_of_field(plan, field)) for field in plan.usable))
        held_before = latest_receipts(folder)
        plan, renamed = as_begun(plan, folder, held_before)
        for sentence in filter(None, (mended, renamed)):
            _log.warning(sentence, extra=NOTE)
        if to_store is not None:
            to_store.begin(plan, held_before)
        described = describe(experiment, addresses_of(plan.plate)) if experiment else None
        begun, pixels = folder.ledger.exists(), plan.settings.keeps_zarr
        named = {} if begun else about(plan.plate)
        digest = plate_digest(plan.plate)
        committed = {} if to_store is None else {"committed": to_store.commit}
        with Ledger(folder, plan.settings, digest, about=named, guard=lock.require, **committed) as ledger:
            require_free_images(plan, folder)
            _remember(folder, prepared.read)
            if pixels and not begun:  # if the session is killed here, finalise writes the rest
                left_out = set(plan.usable.values("group")) if plan.selection else set[str]()
                create_images(
                    folder,
                    plan.plate,
                    left_out=left_out.difference(plan.selected.values("group")),
                    version=plan.settings.ome_zarr,
                )
            network = NetworkInUse(
                str(prepared.weights), prepared.grid, len(prepared.card.outputs), prepared.scale.given
            )
            # Masks of a plate, tables of a rebuilt ledger and results in a store may come from elsewhere.
            elsewhere = bool(prepared.masks or mended or to_store)
            same_input = "" if elsewhere else input_digest(plan.plate, plan.settings)
            work_queue = WorkQueue(
                plan,
                folder,
                network,
                held_before,
                compared=were_compared(folder, same_input),
                verify=verify,
                masks=prepared.masks.masks if prepared.masks else None,
                keeps_maps=keep_probabilities or reuse_probabilities,
                tables_alone=to_store is not None,
            )
            del held_before  # the queue holds these receipts as long as it needs them
            record_compared(folder, "" if work_queue.changed or work_queue.gone else same_input)
            done, nuclei = work_queue.claimed if work_queue.waiting else work_queue.check_all_here(cores())
            session = SessionRecord(
                began=began,
                fields=work_queue.total,
                done_before=done,
                unusable=len(plan.plate.fields) - len(plan.usable),
                ledger_bytes=ledger.path.stat().st_size,
                root=str(plan.plate.root),
                earlier_s=earlier_s,
                earlier_fields=earlier_fields,
            )
            write_session(folder, session)
            if to_store is not None:
                to_store.begun()
            progress.begin(work_queue.total, done, nuclei)
            _log.info("%d of %d fields are done already", done, work_queue.total)
            for what, keys in ((_CHANGED, work_queue.changed), (_GONE, work_queue.gone)):
                if keys:
                    _log.warning(f"{what}: {len(keys):,}, {keys[0]} among them.", extra=NOTE)
            for sentence in _wrong(work_queue.checked):
                _log.warning(sentence, extra=NOTE)

            def drive_all() -> SessionOutcome:
                try:
                    cluster, stop = workers.connect(prepared)
                    kind = "" if prepared.masks else plan.settings.precision
                    others = OtherKinds(cluster, kind, lambda text: _log.warning(text, extra=NOTE))
                    if kind:
                        others.require_one()
                        cluster = others.watched()
                    return drive(
                        *(work_queue, ledger, cluster, progress, stop),
                        fail_fast=fail_fast,
                        kind=kind,
                        begun=load_end_ahead,
                    )
                finally:
                    workers.stop()

            outcome, totals = SessionOutcome(0, 0), None
            while totals is None:
                if work_queue.waiting:
                    try:
                        outcome += drive_all()
                    finally:
                        session = replace(session, left=time.time())
                        write_session(folder, session)
                # What the end alone needs is loaded here or in load_end_ahead, so that the first block does
                # not wait for it.
                from nucbatch.execution.experiment_tables import evaluate, with_user_columns
                from nucbatch.execution.finalise import finalise
                from nucbatch.report.page import write_report

                lock.require()
                remove_partials(folder.path)
                remove_partials_in_place(plan, folder)
                receipts = latest_receipts(folder)
                try:
                    totals = finalise(
                        folder,
                        with_user_columns(plan.plate, described) if described else plan.plate,
                        receipts,
                        ome_zarr=plan.settings.ome_zarr if pixels else None,
                        scale=prepared.scale,
                        selection=plan.selection,
                        overlaps=plan.settings.overlaps,
                        counted=plan.settings.counted,
                        table=plan.settings.table,
                        calibration=plan.settings.calibration,
                    )
                except DamagedFile as error:
                    again = work_queue.requeue_damaged_tables(receipts, cores())
                    if not again:
                        raise
                    for receipt in again:
                        why = f"{folder.shown(error.path)} {error.what}"
                        _log.warning("%s is done again: %s", receipt.field, why, extra=SHOWN)
                        progress.again(receipt, why)
            if to_store is not None:
                to_store.drain()
            log_totals(totals, folder)
            if reuse_probabilities and outcome.predicted:
                _log.warning(_not_kept(outcome.predicted), extra=NOTE)
            if verify:
                _log.info(_verified(work_queue.checked), extra=NOTE)
        taken_s = time.perf_counter() - started
        worked_s = 0.0 if session.left is None else taken_s
        timings = Timings(earlier_s + worked_s, earlier_fields + outcome.done + outcome.failed)
        evaluated = evaluate(folder, experiment, described) if experiment and described else None
        of_experiment = {"experiment": evaluated.kept} if evaluated else {}
        card = run_card(plan, prepared.described, receipts, timings, totals.quality, str(plan.plate.root))
        write_run(folder.run_json, card | of_experiment)
        del receipts  # the report, which reads the tables, needs the memory
        write_report(folder.path, None if to_store is None else to_store.shown)
        write_session(folder, replace(session, ended=began + taken_s))
        _log.info("Report: %s, after %.1f s", folder.report, taken_s)
    return RunResult(
        RunFolder(out), plan.plate.is_plate, totals, outcome, evaluated.lines if evaluated else ()
    )


def _remembered(folder: RunFolder) -> Experiment | None:
    """Returns the experiment that a finished run in the folder was described with."""
    if not folder.run_json.exists():
        return None
    from nucbatch.execution.experiment_tables import remembered

    return remembered(folder)


def _wrong(checked: CheckResult) -> list[str]:
    """Lists the damage that checks found, in a limited number of lines."""
    lines = [f"{key} is done again: {what}" for key, what in checked.wrong.items()]
    return (
        lines
        if len(lines) <= _MOST_LINES
        else [*lines[:_MOST_LINES], f"and {len(lines) - _MOST_LINES:,} more"]
    )


def _not_kept(predicted: int) -> str:
    return (
        f"{plural(predicted, 'field')} went through the network, because their probabilities were not kept "
        "or are damaged."
    )


def _verified(checked: CheckResult) -> str:
    damage = f"{len(checked.wrong):,} fields had damaged or missing files and were processed again"
    return (
        f"Verified {checked.files:,} files ({checked.stored_bytes / 1e6:,.1f} MB) by their checksums: "
        f"{damage if checked.wrong else 'all are unchanged'}."
    )


def _remember(folder: RunFolder, plate: Plate) -> None:
    """Keeps the plate as read: for the next session if it may be cached, for a report in any case."""
    if not is_cached(folder.plate, plate):
        write_bytes(folder.plate, cache_content(plate) or content_to_show(plate))


def _require_sound(plate: Plate) -> None:
    bad = next((file for file in plate.files if file.status is FileStatus.QUARANTINED), None)
    if bad is not None:
        raise FieldFailed(
            f"{bad.path} can't be used: {bad.reason}. With --fail-fast the run does not start; without it, "
            "the same command processes all other fields."
        )
