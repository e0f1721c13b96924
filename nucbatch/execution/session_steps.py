"""The steps of a session: settings, receipts, ledger, queue, work, tables, run.json and report."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucbatch.core.errors import DamagedFile
from nucbatch.core.log_file import NOTE, SHOWN
from nucbatch.core.plate import Plate
from nucbatch.execution.check import CheckResult
from nucbatch.execution.chosen_kind import OtherKinds, with_kind
from nucbatch.execution.driver import SessionOutcome, drive
from nucbatch.execution.end_ahead import load_end_ahead
from nucbatch.execution.in_place import (
    remove_earlier_labels,
    remove_partials_in_place,
    require_free_images,
)
from nucbatch.execution.job import made_of_field
from nucbatch.execution.moved_plate import about, as_begun
from nucbatch.execution.plate_constants import with_plate_constants
from nucbatch.execution.plate_scale import with_plate_scale
from nucbatch.execution.prepared import Prepared
from nucbatch.execution.run_card import Timings, run_card
from nucbatch.execution.run_log import log_plan, log_totals
from nucbatch.execution.run_progress import Progress
from nucbatch.execution.session_workers import SessionWorkers
from nucbatch.execution.work_queue import NetworkInUse, WorkQueue
from nucbatch.experiment.join import Described, addresses_of, describe
from nucbatch.planning.plan import Plan
from nucbatch.readers.names import plural
from nucbatch.readers.plate_cache import cache_content, content_to_show, is_cached
from nucbatch.schedulers.local import cores
from nucbatch.store.atomic import remove_partials, write_bytes
from nucbatch.store.clear_run import clear_run
from nucbatch.store.compared import input_digest, record_compared, were_compared
from nucbatch.store.held_receipts import HeldReceipts
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
from nucbatch.store.lock import RunLock
from nucbatch.store.recover import recover
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.session_record import SessionRecord, write_session
from nucbatch.store.sheets import write_run

if TYPE_CHECKING:
    from nucbatch.execution.finalise import Totals
    from nucbatch.execution.run_in_store import RunInStore
    from nucbatch.experiment.description import Experiment


_MOST_LINES = 20

_log = logging.getLogger(__name__)

_CHANGED = "Done fields whose files have changed are processed again"
_GONE = (
    "Done fields whose files are gone, or can't be used any more, are left out of the tables; put the files "
    "back and run the same command to have their results again"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller asked of a session: see :func:`nucbatch.execution.session.execute`."""

    restart: bool
    keep_probabilities: bool
    reuse_probabilities: bool
    fail_fast: bool
    verify: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """A session whose tables are written."""

    record: SessionRecord
    outcome: SessionOutcome
    totals: Totals


class Session:
    """One session in a locked folder; its methods are called in the order in which they stand here."""

    def __init__(
        self,
        prepared: Prepared,
        folder: RunFolder,
        workers: SessionWorkers,
        progress: Progress,
        asked: Asked,
        to_store: RunInStore | None,
    ) -> None:
        self._prepared, self._folder, self._workers = prepared, folder, workers
        self._progress, self._asked, self._to_store = progress, asked, to_store
        self._begun = False
        self._experiment = prepared.experiment or (None if asked.restart else _remembered(folder))
        self._described: Described | None = None

    @property
    def _plan(self) -> Plan:
        return self._prepared.plan

    def settle(self, log: Path) -> None:
        """Completes the settings with what is measured or chosen for all fields; clears the folder if asked.

        Args:
            log: the session's log file, which stays.
        """
        folder, restart = self._folder, self._asked.restart
        if restart:
            remove_earlier_labels(self._plan, folder)
            clear_run(folder, keep=log)
        begun_with = started_settings(folder)
        plan, alike = with_plate_constants(self._plan, begun_with, cores())
        prepared, measured = with_plate_scale(replace(self._prepared, plan=plan), begun_with, cores())
        self._prepared, computes = with_kind(prepared, begun_with, self._workers)
        plan = self._plan
        log_plan(self._prepared, plan)
        for sentence in filter(None, (alike, measured, computes)):
            _log.info(sentence, extra=NOTE)
        if not restart and self._asked.reuse_probabilities and not continues_run(folder, plan.settings):
            require_probabilities(folder, plan.settings)
            remove_earlier_labels(plan, folder)
            clear_run(folder, keep_maps=True, keep_images=same_images(begun_with, plan.settings), keep=log)

    def receipts(self) -> tuple[HeldReceipts, bool]:
        """Reads the receipts of earlier sessions; tells too whether the ledger had to be rebuilt."""
        plan, folder = self._plan, self._folder

        def header() -> dict[str, Any]:
            return make_header(plan.settings, plate_digest(plan.plate)) | about(plan.plate)

        mended = recover(folder, header, ((field, made_of_field(plan, field)) for field in plan.usable))
        held = latest_receipts(folder)
        as_it_was, renamed = as_begun(plan, folder, held)
        self._prepared = replace(self._prepared, plan=as_it_was)
        for sentence in filter(None, (mended, renamed)):
            _log.warning(sentence, extra=NOTE)
        if self._to_store is not None:
            self._to_store.begin(self._plan, held)
        if self._experiment is not None:
            self._described = describe(self._experiment, addresses_of(self._plan.plate))
        return held, bool(mended)

    def ledger(self, lock: RunLock) -> Ledger:
        """Opens the ledger, which is created in a new run."""
        plan, folder = self._plan, self._folder
        self._begun = folder.ledger.exists()
        named = {} if self._begun else about(plan.plate)
        committed = {} if self._to_store is None else {"committed": self._to_store.commit}
        digest = plate_digest(plan.plate)
        return Ledger(folder, plan.settings, digest, about=named, guard=lock.require, **committed)

    def queue(self, receipts: HeldReceipts, mended: bool) -> WorkQueue:
        """Queues the fields that are not done; the images of a new run are listed in its OME-Zarr first."""
        plan, folder, prepared, asked = self._plan, self._folder, self._prepared, self._asked
        require_free_images(plan, folder)
        _remember(folder, prepared.read)
        if plan.settings.keeps_zarr and not self._begun:
            # If the session is killed here, finalise writes the rest.
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
        elsewhere = bool(prepared.masks or mended or self._to_store)
        same_input = "" if elsewhere else input_digest(plan.plate, plan.settings)
        work_queue = WorkQueue(
            plan,
            folder,
            network,
            receipts,
            compared=were_compared(folder, same_input),
            verify=asked.verify,
            masks=prepared.masks.masks if prepared.masks else None,
            keeps_maps=asked.keep_probabilities or asked.reuse_probabilities,
            tables_alone=self._to_store is not None,
        )
        record_compared(folder, "" if work_queue.changed or work_queue.gone else same_input)
        return work_queue

    def begin(
        self, work_queue: WorkQueue, ledger: Ledger, began: float, earlier: tuple[float, int]
    ) -> SessionRecord:
        """Records what the session sets out to do, and tells the user what was done before.

        Args:
            work_queue: the work.
            ledger: the open ledger.
            began: start of the session, in seconds since 1970.
            earlier: seconds and fields of earlier sessions.
        """
        plan = self._plan
        done, nuclei = work_queue.claimed if work_queue.waiting else work_queue.check_all_here(cores())
        record = SessionRecord(
            began=began,
            fields=work_queue.total,
            done_before=done,
            unusable=len(plan.plate.fields) - len(plan.usable),
            ledger_bytes=ledger.path.stat().st_size,
            root=str(plan.plate.root),
            earlier_s=earlier[0],
            earlier_fields=earlier[1],
        )
        write_session(self._folder, record)
        if self._to_store is not None:
            self._to_store.begun()
        self._progress.begin(work_queue.total, done, nuclei)
        _log.info("%d of %d fields are done already", done, work_queue.total)
        for what, keys in ((_CHANGED, work_queue.changed), (_GONE, work_queue.gone)):
            if keys:
                _log.warning(f"{what}: {len(keys):,}, {keys[0]} among them.", extra=NOTE)
        for sentence in _wrong(work_queue.checked):
            _log.warning(sentence, extra=NOTE)
        return record

    def work(
        self, work_queue: WorkQueue, ledger: Ledger, lock: RunLock, record: SessionRecord
    ) -> tuple[Ended, HeldReceipts]:
        """Processes the queue on the workers and writes the tables, until no field is left.

        Returns:
            The session, and the latest receipt of each field.
        """
        outcome = SessionOutcome(0, 0)
        totals: Totals | None = None
        while totals is None:
            if work_queue.waiting:
                try:
                    outcome += self._drive(work_queue, ledger)
                finally:
                    record = replace(record, left=time.time())
                    write_session(self._folder, record)
            lock.require()
            receipts = latest_receipts(self._folder)
            totals = self._tables(work_queue, receipts)
        if self._to_store is not None:
            self._to_store.drain()
        log_totals(totals, self._folder)
        if self._asked.reuse_probabilities and outcome.predicted:
            _log.warning(_not_kept(outcome.predicted), extra=NOTE)
        if self._asked.verify:
            _log.info(_verified(work_queue.checked), extra=NOTE)
        return Ended(record, outcome, totals), receipts

    def _drive(self, work_queue: WorkQueue, ledger: Ledger) -> SessionOutcome:
        """Starts or finds the workers, and processes the queue on them."""
        try:
            cluster, stop = self._workers.connect(self._prepared)
            kind = "" if self._prepared.masks else self._plan.settings.precision
            others = OtherKinds(cluster, kind, lambda text: _log.warning(text, extra=NOTE))
            if kind:
                others.require_one()
                cluster = others.watched()
            return drive(
                *(work_queue, ledger, cluster, self._progress, stop),
                fail_fast=self._asked.fail_fast,
                kind=kind,
                begun=load_end_ahead,
            )
        finally:
            self._workers.stop()

    def _tables(self, work_queue: WorkQueue, receipts: HeldReceipts) -> Totals | None:
        """Writes the tables; None if fields had to be queued again because their tables are damaged."""
        # What the end alone needs is loaded here or in load_end_ahead, so that the first block does not wait
        # for it.
        from nucbatch.execution.experiment_tables import with_user_columns
        from nucbatch.execution.finalise import finalise

        plan, folder, described = self._plan, self._folder, self._described
        settings = plan.settings
        remove_partials(folder.path)
        remove_partials_in_place(plan, folder)
        try:
            return finalise(
                folder,
                with_user_columns(plan.plate, described) if described else plan.plate,
                receipts,
                ome_zarr=settings.ome_zarr if settings.keeps_zarr else None,
                scale=self._prepared.scale,
                selection=plan.selection,
                overlaps=settings.overlaps,
                counted=settings.counted,
                table=settings.table,
                calibration=settings.calibration,
            )
        except DamagedFile as error:
            again = work_queue.requeue_damaged_tables(receipts, cores())
            if not again:
                raise
            for receipt in again:
                why = f"{folder.shown(error.path)} {error.what}"
                _log.warning("%s is done again: %s", receipt.field, why, extra=SHOWN)
                self._progress.again(receipt, why)
            return None

    def describe(self, ended: Ended, receipts: HeldReceipts, taken_s: float) -> tuple[str, ...]:
        """Writes run.json, and what an experiment asks for; returns sentences about controls and curves.

        Args:
            ended: the session.
            receipts: latest receipt of each field.
            taken_s: duration of the session so far.
        """
        from nucbatch.execution.experiment_tables import evaluate

        record, outcome, folder = ended.record, ended.outcome, self._folder
        worked_s = 0.0 if record.left is None else taken_s
        timings = Timings(record.earlier_s + worked_s, record.earlier_fields + outcome.done + outcome.failed)
        experiment, described = self._experiment, self._described
        evaluated = evaluate(folder, experiment, described) if experiment and described else None
        of_experiment = {"experiment": evaluated.kept} if evaluated else {}
        root = str(self._plan.plate.root)
        card = run_card(self._plan, self._prepared.described, receipts, timings, ended.totals, root)
        write_run(folder.run_json, card | of_experiment)
        return evaluated.lines if evaluated else ()

    def report(self, ended: Ended, taken_s: float) -> None:
        """Writes the report, and records that the session has ended."""
        from nucbatch.report.page import write_report

        write_report(self._folder.path, None if self._to_store is None else self._to_store.shown)
        write_session(self._folder, replace(ended.record, ended=ended.record.began + taken_s))
        _log.info("Report: %s, after %.1f s", self._folder.report, taken_s)


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
