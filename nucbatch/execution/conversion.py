"""Converts a plate to OME-Zarr without segmenting it, in one session or several.

A conversion has a folder beside its OME-Zarr, which is organised as a run's: a ledger of the parts that are
written, a lock, logs and the list of files. A session that is stopped lists no images; the session that
finishes does.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nucbatch.core.errors import DamagedFile, InputError, MemoryRefused, StoreError
from nucbatch.core.log_file import NOTE, SHOWN
from nucbatch.core.plate import Field, FileRecord, FileStatus, Plate, field_rows, file_rows
from nucbatch.core.rows import Rows
from nucbatch.core.selection import EVERYTHING, NOT_SELECTED, Selection
from nucbatch.core.settings import ConversionSettings
from nucbatch.core.signals import Stopped, StopSignal
from nucbatch.execution.bundling import Bundling
from nucbatch.execution.conversion_queue import (
    ConversionQueue,
    ConversionTask,
    ImageOutcome,
    held_times,
    task_bytes,
    with_held,
)
from nucbatch.execution.conversion_task import failed_part
from nucbatch.execution.run_log import run_log
from nucbatch.execution.run_progress import Progress
from nucbatch.execution.task_errors import problem_of
from nucbatch.execution.unused_files import with_lost_originals
from nucbatch.execution.window import Window, WorkResult
from nucbatch.execution.worker_log import WorkerLogs
from nucbatch.object_store import is_address
from nucbatch.planning.conversion import ConvertedImage, plan_conversion
from nucbatch.planning.memory import gib
from nucbatch.planning.plan import LARGEST_FIELD_PX
from nucbatch.readers.flat_fields import flat_fields_in_effect
from nucbatch.readers.plate_cache import cache_content, is_cached
from nucbatch.readers.rules import RULES
from nucbatch.schedulers.contract import Cluster, Resources, Scheduling, scheduler
from nucbatch.store.atomic import remove_partials, write_bytes
from nucbatch.store.clear_run import clear_run
from nucbatch.store.held_receipts import HeldReceipts
from nucbatch.store.images import create_images
from nucbatch.store.ledger import Ledger, latest_receipts, plate_digest
from nucbatch.store.lock import run_lock
from nucbatch.store.receipt import Receipt
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.sheets import FileOutcome, write_files_csv, write_images_csv

if TYPE_CHECKING:
    from nucbatch.execution.conversion_in_store import ImagesInStore

PROCESS_BYTES = 300 * 2**20
"""Memory of a worker before its first task: interpreter and libraries, without a network."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConversionResult:
    """The result of a conversion.

    ``folder``: the folder beside the OME-Zarr, with files.csv and images.csv. ``images``: number of images by
    status. ``files``: number of files by status. ``absent_planes``: planes of converted images that no file
    has, or that are damaged. ``failed``: groups of the images that failed.
    """

    folder: RunFolder
    images: Mapping[str, int]
    files: Mapping[FileStatus, int]
    absent_planes: int
    failed: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether nothing failed and nothing is quarantined."""
        bad = self.images.get("failed", 0) + self.images.get("quarantined", 0)
        return not bad and not self.files.get(FileStatus.QUARANTINED, 0)


def folder_beside(out: Path) -> RunFolder:
    """Returns the folder of the conversion whose OME-Zarr is ``out``: ``plate.zarr`` → ``plate.convert``.

    Raises:
        InputError: the name does not end in ``.zarr``.
    """
    out = out.absolute()
    if out.suffix != ".zarr" or not out.stem:
        raise InputError(f"-o {out.name!r} must be the name of an OME-Zarr: give one that ends in .zarr.")
    return RunFolder(out.with_suffix(".convert"), out)


def convert(
    plate: Plate,
    out: Path,
    settings: ConversionSettings,
    progress: Progress,
    *,
    selection: Selection = EVERYTHING,
    largest_px: int | None = None,
    scheduling: Scheduling | None = None,
    restart: bool = False,
    to_store: ImagesInStore | None = None,
) -> ConversionResult:
    """Converts a plate or a collection of images to OME-Zarr, or continues an unfinished conversion.

    Args:
        plate: the input.
        out: the OME-Zarr, which ends in ``.zarr``. A folder of the same name that ends in ``.convert`` is
            made beside it.
        settings: format and contents of the output.
        progress: reports to the user.
        selection: the part of the plate to convert; the rest can follow.
        largest_px: longest side of an image that is not cut into blocks; no result depends on it.
        scheduling: where the work runs; None: on this machine's CPU.
        restart: remove what an earlier conversion left.
        to_store: sends the images to a store, if ``out`` is in the working folder of a conversion there.

    Raises:
        InputError: the output lies in the input, or the plate lacks the selection.
        SettingsConflict: an earlier conversion had other settings or another input.
        RunLocked: another process converts to this output.
        MemoryRefused: an image is too large for a worker.
        StoreError: the output can't be written, or is no earlier conversion's.
        SchedulerError: the cluster failed.
        Stopped: a signal arrived; what was running is committed.
    """
    settings = settings.model_copy(update={"flat_field": flat_fields_in_effect(plate)})
    largest_px = largest_px or LARGEST_FIELD_PX
    folder = folder_beside(out)
    require_usable(folder, plate)
    images = plan_conversion(plate, selection)
    scheduling = scheduling or Scheduling()
    backend = scheduler(scheduling.name)
    folder.create()
    with run_lock(folder) as lock, run_log(folder, progress.note) as log:
        if restart:
            clear_run(folder, keep=log)
        receipts = _receipts(folder)
        digest = plate_digest(plate)
        with Ledger(folder, settings, digest, guard=lock.require) as ledger:
            _remember(folder, plate)
            times = held_times(receipts)
            images = tuple(with_held(image, times) for image in images)
            chosen = [image for image in images if image.selected]
            sent = None if to_store is None else to_store.sent
            queue = ConversionQueue(plate, chosen, folder, settings.ome_zarr, largest_px, receipts, sent)
            progress.begin(len(chosen), 0, 0)
            largest = max((task_bytes(image, largest_px) for image in chosen), default=0)
            with StopSignal(interrupts_to_abort=2, on_first=lambda: _log.info(_LEAVING, extra=NOTE)) as stop:
                place = scheduling.place(
                    folder.hidden,
                    plate.name,
                    tell=lambda sentence: _log.warning(sentence, extra=NOTE),
                    leaving=lambda: bool(stop.signal),
                    inform=lambda sentence: _log.info(sentence, extra=NOTE),
                )
                needed = Resources(scheduling.workers, PROCESS_BYTES, largest, 0)
                first = queue.next()
                outcomes = _reported(queue, progress, to_store)
                if first is not None:
                    with (
                        WorkerLogs(folder) as logs,
                        backend.connect(needed, place) as connected,
                        logs.of(connected) as cluster,
                    ):
                        _require_fit(largest, cluster)
                        outcomes += _drive(first, queue, ledger, cluster, progress, stop, to_store)
            if to_store is not None:
                to_store.drain()
            lock.require()
            for written in (folder.path, folder.store(plate.is_plate)):
                remove_partials(written)
            return _finalise(folder, plate, images, outcomes, settings)


_NOT_FOLDERS = frozenset({"single", "manifest"})
"""Layouts of an input that is one file; other files in its folder are not images of it."""
_LEAVING = "Finishing the running parts, then stopping; press Ctrl-C again to stop at once."


def require_usable(folder: RunFolder, plate: Plate) -> None:
    """Checks that a conversion can be written. Writes nothing.

    Raises:
        InputError: the output lies in the input.
        StoreError: the output exists and is no earlier conversion's, or can't be written.
    """
    store = folder.store(plate.is_plate)
    root = Path(plate.root).resolve()
    one_file = plate.layout in _NOT_FOLDERS or (plate.layout == "containers" and len(plate.files) == 1)
    listed = not one_file and not is_address(plate.root)
    if store.resolve() == root or (listed and root in store.resolve().parents):
        raise InputError(
            f"{store} lies in the input, where it would be taken for images of it: choose another place with "
            "-o."
        )
    folder.require_usable()
    if store.exists() and not folder.is_run():
        raise StoreError(
            f"{store} exists and was not written by nucbatch convert (there is no {folder.path.name} beside "
            "it): choose another name with -o."
        )


def _receipts(folder: RunFolder) -> HeldReceipts:
    """Reads what earlier sessions wrote; if the ledger is damaged, everything is written again."""
    try:
        return latest_receipts(folder)
    except StoreError as error:
        _log.warning("%s Everything is converted again.", str(error).partition(". ")[0] + ".", extra=NOTE)
        folder.ledger.unlink()
        return HeldReceipts.of(())


def _remember(folder: RunFolder, plate: Plate) -> None:
    """Caches the plate as read, for the next session."""
    kept = None if is_cached(folder.plate, plate) else cache_content(plate)
    if kept is not None:
        write_bytes(folder.plate, kept)


def _require_fit(needed: int, cluster: Cluster) -> None:
    if PROCESS_BYTES + needed > cluster.worker_bytes:
        raise MemoryRefused(
            f"the largest image needs {gib(PROCESS_BYTES + needed)} in one worker, which has "
            f"{gib(cluster.worker_bytes)}. Cut images into blocks with a smaller --block-size, or use fewer "
            "workers (--workers)."
        )


def _drive(
    first: ConversionTask,
    queue: ConversionQueue,
    ledger: Ledger,
    cluster: Cluster,
    progress: Progress,
    stop: StopSignal,
    to_store: ImagesInStore | None,
) -> list[ImageOutcome]:
    """Runs all tasks in a rolling window, and commits their receipts as they arrive.

    Raises:
        Stopped: a signal arrived; what was running is committed.
    """
    window: Window[ConversionTask] = Window(cluster)
    bundling = Bundling(window.room)
    window.submit([first])
    outcomes: list[ImageOutcome] = []
    while True:
        if not stop.signal:
            together = bundling.size(queue.waiting)
            most = (window.room - len(window)) * together
            window.submit(islice(iter(queue.next, None), most), together=together)
        if not len(window):
            break
        results = window.next_batch()
        for one in results:
            if one.error is None:
                bundling.note(one.seconds)
        receipts = [(one.work.key, _receipt_of(one)) for one in results]
        ledger.append(*(receipt for _, receipt in receipts))
        for key, receipt in receipts:
            name, done, tasks = queue.accept(key, receipt)
            if tasks > _MANY:
                progress.advance_image(name, "converting", done, tasks)
        outcomes += _reported(queue, progress, to_store)
    if stop.signal:
        raise Stopped(stop.signal, len(outcomes), "images in this session")
    return outcomes + _reported(queue, progress, to_store)


_MANY = 20
"""Images of more tasks have a progress of their own."""


def _receipt_of(result: WorkResult[ConversionTask]) -> Receipt:
    if result.error is None:
        receipt: Receipt = result.outcome
        return receipt
    if isinstance(result.error, DamagedFile):  # the next session writes it again
        return failed_part(result.work.key, str(result.error))
    return failed_part(result.work.key, problem_of(result, result.work.key))


def _reported(
    queue: ConversionQueue, progress: Progress, to_store: ImagesInStore | None
) -> list[ImageOutcome]:
    finished = queue.finished()
    for outcome in finished:
        if to_store is not None and outcome.receipts and not outcome.problem:
            to_store.commit(outcome.image.group, outcome.receipts)
        status: Literal["done", "failed"] = "failed" if outcome.problem else "done"
        progress.advance(Receipt(outcome.image.group, status, outcome.problem, 0, "", {}, {}, ""))
        if outcome.problem:
            _log.error("Image %s failed: %s", outcome.image.group, outcome.problem, extra=SHOWN)
        for reason in outcome.lost:
            _log.error("Image %s lacks a plane: %s", outcome.image.group, reason, extra=SHOWN)
    return [replace(outcome, receipts=()) for outcome in finished]


def _finalise(
    folder: RunFolder,
    plate: Plate,
    images: Iterable[ConvertedImage],
    outcomes: Iterable[ImageOutcome],
    settings: ConversionSettings,
) -> ConversionResult:
    """Lists the converted images in the OME-Zarr, and writes images.csv and files.csv."""
    by_group = {outcome.image.group: outcome for outcome in outcomes}
    rows, shown, unused = [], list[Field](), dict[str, FileOutcome]()
    good: set[str] = set()
    absent_planes = 0
    for image in images:
        outcome = by_group.get(image.group)
        status, reason = _status(image, outcome)
        planes = image.planes - (len(outcome.lost) if outcome else 0)
        absent = image.shape[0] * image.shape[1] * image.shape[2] - planes if status == "converted" else 0
        absent_planes += absent
        problem = "" if status == "converted" else reason or status
        shown.append(replace(image.first, group=image.group, planes=(), t=0, problem=problem))
        rows.append((image.group, image.first, status, reason, image.shape, absent))
        for one in image.fields:
            paths = {plane.path for plane in one.planes}
            if status == "converted" and one.key in image.selected:
                good |= paths
            elif not one.problem:
                rule = "failed-field" if status == "failed" else "not-selected"
                unused |= dict.fromkeys(paths, (FileStatus.IGNORED, f"{rule}: {RULES[rule]}"))
        for reason in (*(outcome.lost if outcome else ()), *([outcome.problem] if outcome else [])):
            unused |= _quarantined(image, reason)
    unused = {
        path: fate for path, fate in unused.items() if fate[0] is FileStatus.QUARANTINED or path not in good
    }
    listed = replace(plate, fields=field_rows(shown), files=_with_groups(plate, images))
    left_out = {field.key for field, row in zip(shown, rows, strict=True) if row[2] == NOT_SELECTED}
    create_images(folder, listed, left_out=left_out, version=settings.ome_zarr)
    write_images_csv(folder.images_csv, plate.name, rows)
    files = write_files_csv(folder.files, with_lost_originals(listed, unused), unused)
    counts = Counter(str(row[2]) for row in rows)
    _log.info("Images: %s; files: %s", dict(counts), {one.value: files[one] for one in files})
    failed = tuple(row[0] for row in rows if row[2] == "failed")
    return ConversionResult(folder, counts, files, absent_planes, failed)


def _status(image: ConvertedImage, outcome: ImageOutcome | None) -> tuple[str, str]:
    """Returns (status, reason) of an image."""
    if image.problem:
        return "quarantined", image.problem
    if outcome is not None:
        return ("failed", outcome.problem) if outcome.problem else ("converted", "")
    return NOT_SELECTED, "not selected by --wells, --sites or --times"


def _quarantined(image: ConvertedImage, reason: str) -> dict[str, FileOutcome]:
    """Returns the outcome of the file that a reason names at its beginning."""
    paths = {plane.path for field in image.usable for plane in field.planes}
    return {
        path: (FileStatus.QUARANTINED, reason.removeprefix(f"{path}: "))
        for path in paths
        if reason.startswith(f"{path}: ")
    }


def _with_groups(plate: Plate, images: Iterable[ConvertedImage]) -> Rows[FileRecord]:
    """Returns the plate's files with the groups of the images that they are part of."""
    groups = {field.group: image.group for image in images for field in image.fields}
    return file_rows(replace(file, group=groups.get(file.group, file.group)) for file in plate.files)
