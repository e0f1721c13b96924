"""The Python interface for notebooks and scripts: segments one image, or runs a whole plate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.log_file import early_records
from nucbatch.core.plate import Plate
from nucbatch.core.selection import EVERYTHING, Selection
from nucbatch.core.settings import ObjectSettings, RunSettings, validated
from nucbatch.execution.prepared import Prepared, chosen, prepare
from nucbatch.execution.run_progress import Progress
from nucbatch.execution.session import RunResult, execute
from nucbatch.execution.warm_start import load_ahead
from nucbatch.inference.normalise import find_constants
from nucbatch.inference.queue import queue_of_process
from nucbatch.inference.scale import Scale
from nucbatch.inference.segment import require_image, segment_image
from nucbatch.networks.checkpoint import locate
from nucbatch.readers.find import open_plate
from nucbatch.schedulers.contract import Scheduling
from nucbatch.store.run_folder import RunFolder

__all__ = ["Prepared", "RunResult", "Scheduling", "Selection", "execute", "prepare", "run_plate", "segment"]


def segment(
    image: NDArray[np.generic],
    *,
    model: str = "default",
    objects: ObjectSettings | None = None,
    diameter_px: float | Literal["auto", "none"] = "auto",
) -> NDArray[np.uint32]:
    """Finds the nuclei of one image, in the same way as a run.

    Args:
        image: (Y, X) grey or (Y, X, 3) RGB; integers or floats.
        model: name of a shipped model, or path of a weight file.
        objects: thresholds and sizes that replace the model's own; only those that are set.
        diameter_px: typical diameter of the nuclei, to which the image is rescaled for the model. "auto": the
            image is reduced if its nuclei turn out to be much larger than those the model was trained on.
            "none": never rescaled.

    Returns:
        Labels (Y, X) uint32, 1..N in raster order of each nucleus' first pixel; 0 is background.

    Raises:
        InputError: the image has another shape or pixel type, no pixels, or pixels that are not finite.
        WeightsError: there is no such model.
    """
    image = require_image(image)
    queue = queue_of_process(str(locate(model)))
    given: dict[str, object] = {"diameter_px": diameter_px}
    settings = validated(given if objects is None else given | {"objects": objects})
    thresholds, normalisation = chosen(queue.card, settings)
    constants = find_constants(image, normalisation)
    scale = Scale.of(queue.card, settings.model_copy(update={"normalise": normalisation}))
    return segment_image(image, constants, queue.grid, queue.predict, thresholds, scale).labels


@early_records()
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
    fail_fast: bool = False,
    selection: Selection = EVERYTHING,
    progress: Progress | None = None,
) -> RunResult:
    """Segments and measures a plate or a collection of images into a run's folder; resumes an unfinished run.

    With the local scheduler, a process that has loaded the worker's libraries is kept for the next call.

    Args:
        source: path of the input, or a plate that was opened.
        out: the run's folder.
        settings: None for the defaults.
        scheduler_name: local, or another installed scheduler.
        scheduler_settings: its own settings.
        insecure: whether to connect to a scheduler without TLS.
        workers: number of workers; None for the scheduler's default.
        block_px: side of a block of large images; None for the default.
        restart: whether to discard the results of an earlier run in ``out``.
        reuse_probabilities: whether to keep the network's maps and redo the objects alone.
        fail_fast: whether to stop at the first failed field.
        selection: wells, sites and time points to process, from ``Selection.parse(wells="B02,C03-C10")``; the
            others can follow in the same folder.
        progress: receives the progress.

    Raises:
        InputError, InputNotFound: the input or a setting can't be used.
        WeightsError: there is no such model.
        Others: as :func:`execute`.
    """
    load_ahead(scheduler_name)
    plate = source if isinstance(source, Plate) else open_plate(source, remembered=RunFolder(out).plate)
    return execute(
        prepare(plate, settings, block_px=block_px, selection=selection),
        out,
        scheduling=Scheduling(scheduler_name, scheduler_settings or {}, insecure, workers),
        restart=restart,
        reuse_probabilities=reuse_probabilities,
        fail_fast=fail_fast,
        progress=progress,
    )
