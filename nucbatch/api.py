"""What notebooks and scripts call: one image to labels, a plate to a run's folder."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.errors import InputError
from nucbatch.execution.driver import Progress
from nucbatch.execution.finalise import Timings, Totals, finalise, run_card
from nucbatch.execution.run import Network, Outcome, committed, drive
from nucbatch.inference.lane import lane_of_process
from nucbatch.inference.predict import grid_of
from nucbatch.inference.segment import segment_image
from nucbatch.networks.checkpoint import Card, load_weights, locate
from nucbatch.planning.memory import PROCESS_BYTES, NetworkSize, largest_block, require_fit
from nucbatch.planning.plan import Plan, make_plan
from nucbatch.plate import Plate
from nucbatch.readers.find import open_plate
from nucbatch.report.page import write_report
from nucbatch.schedulers.contract import Place, Resources, scheduler
from nucbatch.settings import NormaliseSettings, ObjectSettings, RunSettings, validated
from nucbatch.store.atomic import remove_partials
from nucbatch.store.folder import RunFolder
from nucbatch.store.images import create_images
from nucbatch.store.ledger import (
    Ledger,
    Receipt,
    is_continued,
    latest,
    plate_digest,
    require_probabilities,
)
from nucbatch.store.lock import run_lock
from nucbatch.store.sheets import write_run
from nucbatch.tiles import TileGrid


def segment(
    image: NDArray[np.generic],
    *,
    model: str = "default",
    objects: ObjectSettings | None = None,
    diameter_px: float | None = None,
) -> NDArray[np.uint32]:
    """Nuclei of one image, the same way as in a run.

    Args:
        image: (Y, X) grey or (Y, X, 3) RGB; integers or floats.
        model: a shipped model's name or a weight file's path.
        objects: what is set in it takes the place of the model's own thresholds and sizes.
        diameter_px: what nuclei typically measure, where that is far from what the model was trained on.

    Returns:
        Labels (Y, X) uint32, 1..N in raster order of each nucleus' first pixel; 0 is background.

    Raises:
        InputError: another shape or pixel type, no pixels, or pixels that are not finite.
        WeightsError: no such model.
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3) or image.size == 0:
        raise InputError(f"an image of shape {image.shape} can't be segmented: give (Y, X), or (Y, X, 3).")
    if image.dtype.kind not in "iuf":
        raise InputError(f"an image of {image.dtype} can't be segmented: give integers or floats.")
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise InputError("the image has NaN or infinite pixels: replace them before segmenting.")
    lane = lane_of_process(str(locate(model)))
    given: dict[str, object] = {"diameter_px": diameter_px}
    settings = validated(given if objects is None else given | {"objects": objects})
    chosen, normalisation = _chosen(lane.card, settings)
    zoom = lane.card.zoom(settings.diameter_px)
    return segment_image(image, lane.grid, lane.predict, normalisation, chosen, zoom).labels


@dataclass(frozen=True, slots=True)
class RunResult:
    """A run's folder and what it found. ``outcome`` counts this call, ``totals`` the whole run."""

    folder: RunFolder
    is_plate: bool
    totals: Totals
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run as it will be, checked, before anything is written or submitted.

    ``plan.settings`` are complete: channel, weights' hash, normalisation and thresholds are settled.
    """

    plan: Plan
    weights: Path
    card: Card
    grid: TileGrid

    @property
    def zoom(self) -> float:
        """How many times as large the network sees images."""
        return self.card.zoom(self.plan.settings.diameter_px)

    @property
    def network(self) -> NetworkSize:
        """What the network's memory grows with."""
        return NetworkSize(self.grid, self.card.config.get("width", 64), self.zoom)

    @property
    def worker_bytes(self) -> int:
        """Projected peak of a worker process with the largest field, one at a time."""
        return PROCESS_BYTES + largest_block(self.plan, self.network)[1]

    def resources(self, workers: int | None) -> Resources:
        """What a cluster for it must offer.

        Raises:
            InputError: less than one worker.
        """
        return Resources(workers, PROCESS_BYTES, self.worker_bytes - PROCESS_BYTES)


class _Silent:
    def begin(self, total: int, committed: Iterable[Receipt]) -> None:
        pass

    def advance(self, receipt: Receipt) -> None:
        pass

    def course(self, name: str, doing: str, done: int, units: int) -> None:
        pass

    def note(self, sentence: str) -> None:
        pass


def prepare(plate: Plate, settings: RunSettings | None = None, *, block_px: int | None = None) -> Prepared:
    """Settles channel, weights and blocks; nothing is submitted or written.

    The model's own normalisation and thresholds are taken, but for those set in ``settings``.

    Raises:
        InputError: the channel is not there, or none was named and the names don't tell.
        WeightsError: the model.
    """
    settings = settings or RunSettings()
    weights = locate(settings.model)
    network, card = load_weights(weights)
    objects, normalise = _chosen(card, settings)
    changes = {
        "model": card.name,  # the hash says which it is; where it was read from is no setting
        "model_hash": card.sha256,
        "objects": objects,
        "normalise": normalise,
    }
    card.zoom(settings.diameter_px)  # a model that can't be scaled is told here, not by every field
    plan = make_plan(plate, settings.model_copy(update=changes), block_px)
    return Prepared(plan, weights.absolute(), card, grid_of(network))


def run_plate(
    source: Path | Plate,
    out: Path,
    settings: RunSettings | None = None,
    *,
    scheduler_name: str = "local",
    scheduler_settings: Mapping[str, Any] | None = None,
    insecure: bool = False,
    workers: int | None = None,
    block_px: int | None = None,
    restart: bool = False,
    reuse_probabilities: bool = False,
    progress: Progress | None = None,
) -> RunResult:
    """Segments and measures a whole plate or collection into a run's folder; resumes one that was begun.

    Raises:
        InputError, InputNotFound: the input or a setting. WeightsError: the model. Others as :func:`execute`.
    """
    plate = source if isinstance(source, Plate) else open_plate(source)
    return execute(
        prepare(plate, settings, block_px=block_px),
        out,
        scheduler_name=scheduler_name,
        scheduler_settings=scheduler_settings,
        insecure=insecure,
        workers=workers,
        restart=restart,
        reuse_probabilities=reuse_probabilities,
        progress=progress,
    )


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

    Raises:
        InputError: the scheduler or the number of workers. SettingsConflict: ``out`` has a run of other
        settings or another input. RunLocked: another driver works there. MemoryRefused: a field is too large
        for a worker. StoreError, SchedulerError.
    """
    plan, started = prepared.plan, time.perf_counter()
    backend, told = scheduler(scheduler_name), progress or _Silent()
    # Absolute, because workers may have been started in another folder.
    folder = RunFolder(out.absolute())
    folder.create()
    with run_lock(folder):
        if restart:
            folder.clear()
        elif reuse_probabilities and not is_continued(folder, plan.settings):
            require_probabilities(folder, plan.settings)
            folder.clear(keep_scratch=True)
        begun = folder.ledger.exists()
        pixels = plan.settings.labels != "tiff"
        with Ledger(folder, plan.settings, plate_digest(plan.plate)) as ledger:
            if begun:
                remove_partials(folder.path)
            if pixels:
                create_images(folder, plan.plate)
            held = committed(plan, folder)
            told.begin(len(plan.usable), held.values())
            outcome = Outcome(0, 0)
            if len(held) < len(plan.usable):
                place = Place(
                    folder.hidden,
                    plan.plate.name,
                    scheduler_name,
                    scheduler_settings or {},
                    insecure,
                    told.note,
                )
                with backend.connect(prepared.resources(workers), place) as cluster:
                    require_fit(plan, prepared.network, cluster.worker_bytes)
                    network = Network(
                        str(prepared.weights), prepared.grid, len(prepared.card.outputs), prepared.zoom
                    )
                    outcome = drive(plan, held, folder, ledger, cluster, network, told)
        receipts = latest(folder)
        totals = finalise(folder, plan.plate, receipts, pixels=pixels)
        card = prepared.card.model_dump(mode="json")
        timings = Timings(time.perf_counter() - started, outcome.done + outcome.failed)
        write_run(folder.run_json, run_card(plan, card, receipts, timings))
        write_report(folder.path)
    return RunResult(RunFolder(out), plan.plate.is_plate, totals, outcome)


def _chosen(card: Card, settings: RunSettings) -> tuple[ObjectSettings, NormaliseSettings]:
    """The model's own settings, overridden by what was set, even if to a general default."""
    return (
        card.objects.model_copy(update=settings.objects.model_dump(exclude_unset=True)),
        card.normalise.model_copy(update=settings.normalise.model_dump(exclude_unset=True)),
    )
