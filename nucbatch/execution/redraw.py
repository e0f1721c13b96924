"""Writes a run's report again from what is on the disk, whether the run is finished, stopped or going on.

The tables of a run are written when it ends. Until then they are made from its ledger in a temporary folder,
so that nothing in the run's own folder changes but the report, and no lock is needed.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from nucbatch.core.errors import StoreError
from nucbatch.execution.experiment_tables import describe_again
from nucbatch.execution.finalise import finalise
from nucbatch.execution.run_card import Timings, run_card
from nucbatch.experiment.description import Experiment
from nucbatch.object_store import ObjectPath
from nucbatch.planning.plan import make_plan
from nucbatch.readers.plate_cache import plate_as_read
from nucbatch.report.page import render, require_run, write_report
from nucbatch.report.run_data import RunData
from nucbatch.store.atomic import write_text
from nucbatch.store.ledger import latest_receipts, started_settings
from nucbatch.store.remote.ledger import RemoteLedger
from nucbatch.store.remote.lock import remote_lock
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.session_record import read_session
from nucbatch.store.sheets import write_run
from nucbatch.store.stored_run import stored_run


def describe_and_redraw(out: Path, experiment: Experiment | None = None) -> tuple[tuple[str, ...], Path]:
    """Describes a finished run with another experiment, if one is given, and writes its report again.

    Args:
        out: the run's folder or address.
        experiment: as of :func:`nucbatch.execution.experiment_tables.describe_again`.

    Returns:
        Sentences about controls and curves, and the place of the report.

    Raises:
        As :func:`redraw` and ``describe_again``. RunLocked: a driver works at the address.
    """
    if not isinstance(out, ObjectPath):
        lines = describe_again(RunFolder(out), experiment).lines if experiment is not None else ()
        return lines, redraw(out)
    with ExitStack() as stack:
        if RemoteLedger.found(out) is not None:
            stack.enter_context(remote_lock(out))
        run = stack.enter_context(stored_run(out, fragments=True))
        lines = describe_again(run.folder, experiment).lines if experiment is not None else ()
        if _is_unfinished(run.folder):
            _write_tables(run.folder, run.folder)
            # Only the report is sent: the session that finishes the run writes the tables.
            write_text(run.folder.report, render(RunData(run.folder)))
            run.send(run.folder.report)
        else:
            write_text(run.folder.report, render(RunData(run.folder)))
            run.send_tables()
    return lines, out / run.folder.report.name


def redraw(out: Path) -> Path:
    """Writes ``report.html`` of a run and returns its path.

    Raises:
        InputNotFound: there is no such folder.
        StoreError: the folder holds no run, a run of another version, or one that has done nothing yet; or
            it can't be written to.
    """
    folder = require_run(out)
    if not _is_unfinished(folder):
        return write_report(out)
    with TemporaryDirectory(prefix="nucbatch-report-") as temporary:
        view = RunFolder(Path(temporary) / folder.path.absolute().name)
        view.path.mkdir()
        for kept in (folder.hidden, folder.plate_zarr, folder.images_zarr, folder.metadata):
            if kept.exists():
                (view.path / kept.name).symlink_to(kept.absolute())
        _write_tables(folder, view)
        return write_report(out, view)


def _is_unfinished(folder: RunFolder) -> bool:
    """Whether the tables are missing, or older than the last session's work."""
    if not (folder.fields.is_file() and folder.run_json.is_file()):
        return True
    last = read_session(folder)
    return last is not None and last.ended is None


def _write_tables(folder: RunFolder, view: RunFolder) -> None:
    """Writes the tables of what the ledger has so far; fields without a receipt are pending."""
    settings, receipts = started_settings(folder), latest_receipts(folder)
    plate = plate_as_read(folder.plate)
    if settings is None or plate is None or not receipts:
        raise StoreError(
            f"{folder.path} is not finished, and has no field that this version of nucbatch can show: run "
            "the same command again to continue it; nucbatch status says how far it is."
        )
    plan = make_plan(plate, settings)
    totals = finalise(
        view,
        plan.plate,
        receipts,
        ome_zarr=None,
        overlaps=settings.overlaps,
        counted=settings.counted,
        calibration=settings.calibration,
    )
    last = read_session(folder)
    timings = Timings(0.0, 0) if last is None else Timings(last.earlier_s, last.earlier_fields)
    model = {"name": settings.model, "sha256": settings.model_hash}
    root = "" if last is None else last.root
    write_run(view.run_json, run_card(plan, model, receipts, timings, totals, root))
