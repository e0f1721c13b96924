"""One sitting of a run, from the lock on its folder to its report.

The decision owned here: the order. What the ledger says is taken up, what is still to be done is done on a
cluster, and the tables and the report are made of what is then on the disk. A sitting that was asked to leave
makes none: the same command does, when it has come to the end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nucbatch.core.errors import DamagedFile, FieldFailed
from nucbatch.core.log_file import NOTE, SHOWN
from nucbatch.core.plate import FileStatus, Plate
from nucbatch.core.signals import StopSignal
from nucbatch.execution.check import Looked
from nucbatch.execution.driver import Progress
from nucbatch.execution.finalise import Timings, Totals, finalise, run_card
from nucbatch.execution.job import made_of_field
from nucbatch.execution.moved_plate import about, as_begun
from nucbatch.execution.plate_constants import with_plate_constants
from nucbatch.execution.plate_scale import with_plate_scale
from nucbatch.execution.prepared import Prepared
from nucbatch.execution.run import Outcome, drive
from nucbatch.execution.run_log import log_plan, log_totals, run_log
from nucbatch.execution.warm_start import PRELOADED
from nucbatch.execution.work_queue import Network, Todo
from nucbatch.execution.worker_log import WorkerLogs
from nucbatch.planning.memory import require_fit
from nucbatch.readers.plate_cache import cache_content, is_cached
from nucbatch.report.page import write_report
from nucbatch.schedulers.contract import Place, scheduler
from nucbatch.schedulers.local import cores
from nucbatch.store.atomic import remove_partials, write_bytes
from nucbatch.store.folder import RunFolder
from nucbatch.store.images import create_images
from nucbatch.store.ledger import (
    Ledger,
    continues_run,
    latest_receipts,
    make_header,
    plate_digest,
    require_probabilities,
    started_settings,
)
from nucbatch.store.lock import run_lock
from nucbatch.store.receipt import Receipt
from nucbatch.store.recover import recover
from nucbatch.store.sheets import write_run


@dataclass(frozen=True, slots=True)
class RunResult:
    """A run's folder and what it found. ``outcome`` counts this call, ``totals`` the whole run."""

    folder: RunFolder
    is_plate: bool
    totals: Totals
    outcome: Outcome


_LEAVING = "Finishing the blocks under way, and then leaving; Ctrl-C again leaves at once."

_MOST_LINES = 20

_log = logging.getLogger(__name__)

_CHANGED = "Fields that were done and whose files have changed since are done again, or are gone"


class _Silent:
    def begin(self, total: int, committed: Iterable[Receipt]) -> None:
        pass

    def advance(self, receipt: Receipt) -> None:
        pass

    def again(self, receipt: Receipt, why: str) -> None:
        pass

    def course(self, name: str, doing: str, done: int, units: int) -> None:
        pass

    def note(self, sentence: str) -> None:
        pass


def execute(
    prepared: Prepared,
    out: Path,
    *,
    scheduler_name: str = "local",
    scheduler_settings: Mapping[str, Any] | None = None,
    insecure: bool = False,
    workers: int | None = None,
    restart: bool = False,
    reuse_probabilities: bool = False,
    fail_fast: bool = False,
    verify: bool = False,
    progress: Progress | None = None,
) -> RunResult:
    """Does what was prepared, in a run's folder; resumes one that was begun.

    Args:
        scheduler_name: where blocks run: a backend's name, an address, or a scheduler file.
        scheduler_settings: the backend's own, by name.
        insecure: go on where others could read or use the connection to the scheduler.
        workers: processes; None takes what fits the machine.
        restart: throw away what an earlier run left in ``out``.
        reuse_probabilities: begin anew, but keep the probabilities of images of several blocks, so that only
            their objects are made again; everything but the objects' settings must be as it was.
        fail_fast: end with the first field that fails, or before it, if a file is no use.
        verify: read every file of what is done and compare its checksum, not only its size and time.

    Raises:
        InputError: the scheduler or the number of workers; fields that can't be normalised as one plate.
        SettingsConflict: ``out`` has a run of other
        settings or another input. RunLocked: another driver works there. MemoryRefused: a field is too large
        for a worker. FieldFailed: with ``fail_fast``. StoreError, SchedulerError. In the main thread,
        SIGINT (Ctrl-C), SIGTERM and SIGUSR1 raise Stopped when what is under way is committed.
    """
    plan, started = prepared.plan, time.perf_counter()
    if fail_fast:
        _require_sound(plan.plate)
    backend, told = scheduler(scheduler_name), progress or _Silent()
    # Absolute, because workers may have been started in another folder.
    folder = RunFolder(out.absolute())
    folder.create()
    with run_lock(folder) as lock, run_log(folder, told.note) as log:
        if restart:
            folder.clear(keep=log)
        known = started_settings(folder)
        plan, alike = with_plate_constants(plan, known, cores())
        prepared, measured = with_plate_scale(replace(prepared, plan=plan), known, cores())
        plan = prepared.plan
        log_plan(prepared, plan)
        for sentence in filter(None, (alike, measured)):
            _log.info(sentence, extra=NOTE)
        if not restart and reuse_probabilities and not continues_run(folder, plan.settings):
            require_probabilities(folder, plan.settings)
            folder.clear(keep_scratch=True, keep=log)

        def header() -> dict[str, Any]:
            return make_header(plan.settings, plate_digest(plan.plate)) | about(plan.plate)

        mended = recover(folder, header, ((field, made_of_field(plan, field)) for field in plan.usable))
        held_before = latest_receipts(folder)
        plan, renamed = as_begun(plan, folder, held_before)
        for sentence in filter(None, (mended, renamed)):
            _log.warning(sentence, extra=NOTE)
        begun, pixels = folder.ledger.exists(), plan.settings.labels != "tiff"
        named = {} if begun else about(plan.plate)
        digest = plate_digest(plan.plate)
        with Ledger(folder, plan.settings, digest, about=named, guard=lock.require) as ledger:
            _remember(folder, prepared.read)
            if pixels and not begun:  # what a kill has kept from being written, the end of the run writes
                create_images(folder, plan.plate)
            network = Network(
                str(prepared.weights), prepared.grid, len(prepared.card.outputs), prepared.scale.zoom
            )
            todo = Todo(plan, folder, network, held_before, verify=verify)
            held = todo.claimed if todo.waiting else todo.check_all_here(cores())
            told.begin(len(plan.usable), held)
            _log.info("%d of %d fields are done already", len(held), len(plan.usable))
            if todo.changed:
                changed = f"{_CHANGED}: {len(todo.changed):,}, {todo.changed[0]} among them."
                _log.warning(changed, extra=NOTE)
            for sentence in _wrong(todo.looked):
                _log.warning(sentence, extra=NOTE)

            def drive_all() -> Outcome:
                with StopSignal(
                    interrupts_to_abort=2, on_first=lambda: _log.info(_LEAVING, extra=NOTE)
                ) as notice:
                    place = Place(
                        folder.hidden,
                        plan.plate.name,
                        scheduler_name,
                        scheduler_settings or {},
                        insecure,
                        lambda sentence: _log.warning(sentence, extra=NOTE),
                        lambda: bool(notice.signal),
                        PRELOADED,
                        lambda sentence: _log.info(sentence, extra=NOTE),
                    )
                    _log.info("Workers: --scheduler %s", scheduler_name)
                    with (
                        WorkerLogs(folder) as logs,
                        backend.connect(prepared.resources(workers), place) as connected,
                        logs.of(connected) as cluster,
                    ):
                        require_fit(plan, prepared.network, cluster.worker_bytes)
                        return drive(todo, ledger, cluster, told, notice, fail_fast=fail_fast)

            outcome, totals = Outcome(0, 0), None
            while totals is None:
                if todo.waiting:
                    outcome += drive_all()
                lock.require()
                remove_partials(folder.path)
                receipts = latest_receipts(folder)
                try:
                    totals = finalise(folder, plan.plate, receipts, pixels=pixels, scale=prepared.scale)
                except DamagedFile as error:
                    again = todo.tables_again(receipts, cores())
                    if not again:
                        raise
                    for receipt in again:
                        why = f"{error.path.relative_to(folder.path)} {error.what}"
                        _log.warning("%s is done again: %s", receipt.field, why, extra=SHOWN)
                        told.again(receipt, why)
            log_totals(totals, folder)
            if verify:
                _log.info(_verified(todo.looked), extra=NOTE)
        card = prepared.card.model_dump(mode="json")
        timings = Timings(time.perf_counter() - started, outcome.done + outcome.failed)
        write_run(folder.run_json, run_card(plan, card, receipts, timings))
        write_report(folder.path)
        _log.info("Report: %s, after %.1f s", folder.report, timings.wall_s)
    return RunResult(RunFolder(out), plan.plate.is_plate, totals, outcome)


def _wrong(looked: Looked) -> list[str]:
    """What a look at what is done has found, in a few lines."""
    lines = [f"{key} is done again: {what}" for key, what in looked.wrong.items()]
    return (
        lines
        if len(lines) <= _MOST_LINES
        else [*lines[:_MOST_LINES], f"and {len(lines) - _MOST_LINES:,} more"]
    )


def _verified(looked: Looked) -> str:
    damage = f"{len(looked.wrong):,} fields had files that were damaged or gone, and were done again"
    return (
        f"Verified {looked.files:,} files ({looked.stored_bytes / 1e6:,.1f} MB) by their checksums: "
        f"{damage if looked.wrong else 'all are as they were written'}."
    )


def _remember(folder: RunFolder, plate: Plate) -> None:
    """Keeps the plate as it was read, for the next sitting."""
    if is_cached(folder.plate, plate):
        return
    kept = cache_content(plate)
    if kept is not None:
        write_bytes(folder.plate, kept)


def _require_sound(plate: Plate) -> None:
    bad = next((file for file in plate.files if file.status is FileStatus.QUARANTINED), None)
    if bad is not None:
        raise FieldFailed(
            f"{bad.path} can't be used: {bad.reason}. Nothing is begun, as --fail-fast asks; without it, the "
            "same command does all other fields."
        )
