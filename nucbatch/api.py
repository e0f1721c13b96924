"""What notebooks and scripts call: one image to labels, a plate to a run's folder."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.errors import InputError
from nucbatch.execution.finalise import Totals, finalise, run_card
from nucbatch.execution.run import Outcome, Progress, drive
from nucbatch.inference.lane import lane_of_process
from nucbatch.inference.predict import grid_of
from nucbatch.inference.segment import segment_image
from nucbatch.networks.checkpoint import Card, load_weights, locate, read_card
from nucbatch.planning.memory import PROCESS_BYTES, block_bytes, require_fit
from nucbatch.planning.plan import Plan, make_plan
from nucbatch.plate import Plate
from nucbatch.readers.find import open_plate
from nucbatch.report.page import write_report
from nucbatch.schedulers.contract import Resources, scheduler
from nucbatch.settings import ObjectSettings, RunSettings
from nucbatch.store.folder import RunFolder
from nucbatch.store.images import create_images
from nucbatch.store.ledger import Ledger, Receipt, latest, plate_digest
from nucbatch.store.lock import run_lock
from nucbatch.store.sheets import write_run


def segment(
    image: NDArray[np.generic], *, model: str = "default", objects: ObjectSettings | None = None
) -> NDArray[np.uint32]:
    """Nuclei of one image, the same way as in a run.

    Args:
        image: (Y, X) grey or (Y, X, 3) RGB; uint8, uint16 or float.
        model: a shipped model's name or a weight file's path.
        objects: thresholds and sizes instead of the model's own.

    Returns:
        Labels (Y, X) uint32, 1..N in raster order of each nucleus' first pixel; 0 is background.

    Raises:
        InputError: another shape or pixel type, no pixels, or pixels that are not finite.
        WeightsError: no such model.
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3) or image.size == 0:
        raise InputError(f"an image of shape {image.shape} can't be segmented: give (Y, X), or (Y, X, 3).")
    if image.dtype.kind not in "uf":
        raise InputError(f"an image of {image.dtype} can't be segmented: give uint8, uint16 or float.")
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise InputError("the image has NaN or infinite pixels: replace them before segmenting.")
    lane = lane_of_process(str(locate(model)))
    settings = objects or lane.card.objects
    return segment_image(image, lane.grid, lane.predict, lane.card.normalise, settings).labels


@dataclass(frozen=True, slots=True)
class RunResult:
    """A run's folder and what it found. ``outcome`` counts this call, ``totals`` the whole run."""

    folder: RunFolder
    totals: Totals
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan with its weights, checked, before anything runs. ``block_bytes``: the largest block's peak."""

    plan: Plan
    weights: Path
    card: Card
    block_bytes: int


class _Silent:
    def begin(self, total: int, committed: Iterable[Receipt]) -> None:
        pass

    def advance(self, receipt: Receipt) -> None:
        pass


def prepare(plate: Plate, settings: RunSettings) -> Prepared:
    """Settles channel and weights and projects memory; nothing is submitted or written.

    The model's own normalisation and thresholds are taken where ``settings`` has the defaults.

    Raises:
        InputError: the channel or no usable field. WeightsError: the model.
    """
    weights = locate(settings.model)
    network, card = load_weights(weights)
    changes: dict[str, Any] = {"model_hash": card.sha256}
    if settings.objects == ObjectSettings():
        changes["objects"] = card.objects
    if settings.normalise == type(settings.normalise)():
        changes["normalise"] = card.normalise
    plan = make_plan(plate, settings.model_copy(update=changes))
    grid, width = grid_of(network), card.config.get("width", 64)
    largest = max((block_bytes(field, grid, width) for field in plan.usable), default=0)
    return Prepared(plan, weights, card, PROCESS_BYTES + largest)


def run_plate(
    source: Path | Plate,
    out: Path,
    settings: RunSettings | None = None,
    *,
    scheduler_name: str = "local",
    workers: int | None = None,
    restart: bool = False,
    progress: Progress | None = None,
) -> RunResult:
    """Segments and measures a whole plate or collection into a run's folder; resumes one that was begun.

    Raises:
        InputError, InputNotFound: the input or a setting. SettingsConflict: ``out`` has a run with other
        settings. RunLocked: another driver works there. StoreError, SchedulerError, MemoryRefused.
    """
    plate = source if isinstance(source, Plate) else open_plate(source)
    prepared = prepare(plate, settings or RunSettings())
    plan, started = prepared.plan, time.perf_counter()
    folder = RunFolder(out)
    folder.create()
    with run_lock(folder):
        if restart:
            folder.clear()
            folder.create()
        pixels = plan.settings.labels != "tiff"
        with Ledger(folder, plan.settings, plate_digest(plate)) as ledger:
            if pixels:
                create_images(folder, plate)
            outcome = Outcome(0, 0, 0)
            if plan.usable:
                resources = Resources(workers, prepared.block_bytes)
                with scheduler(scheduler_name)(resources) as cluster:
                    grid = grid_of(load_weights(prepared.weights)[0])
                    width = prepared.card.config.get("width", 64)
                    require_fit(plan, grid, width, cluster.worker_bytes, cluster.threads_per_worker)
                    told = progress or _Silent()
                    outcome = drive(plan, folder, ledger, cluster, str(prepared.weights), told)
        receipts = latest(folder)
        totals = finalise(folder, plate, receipts, pixels=pixels)
        card = read_card(prepared.weights).model_dump(mode="json")
        write_run(
            folder.run_json, run_card(plate, plan.settings, card, receipts, time.perf_counter() - started)
        )
        write_report(folder.path)
    return RunResult(folder, totals, outcome)
