"""What notebooks and scripts call: one image to labels, a plate to a run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.plate import Plate
from nucbatch.core.settings import ObjectSettings, RunSettings, validated
from nucbatch.execution.driver import Progress
from nucbatch.execution.prepared import Prepared, chosen, prepare
from nucbatch.execution.session import RunResult, execute
from nucbatch.execution.warm_start import load_ahead
from nucbatch.inference.normalise import find_constants
from nucbatch.inference.queue import lane_of_process
from nucbatch.inference.scale import Scale
from nucbatch.inference.segment import require_image, segment_image
from nucbatch.networks.checkpoint import locate
from nucbatch.readers.find import open_plate
from nucbatch.store.folder import RunFolder

__all__ = ["Prepared", "RunResult", "execute", "prepare", "run_plate", "segment"]


def segment(
    image: NDArray[np.generic],
    *,
    model: str = "default",
    objects: ObjectSettings | None = None,
    diameter_px: float | Literal["auto", "none"] = "auto",
) -> NDArray[np.uint32]:
    """Nuclei of one image, the same way as in a run.

    Args:
        image: (Y, X) grey or (Y, X, 3) RGB; integers or floats.
        model: a shipped model's name or a weight file's path.
        objects: what is set in it takes the place of the model's own thresholds and sizes.
        diameter_px: typical diameter of the nuclei, to which the image is rescaled for the model. "auto": it
            is reduced if its nuclei are found to be much larger than those the model was trained on.

    Returns:
        Labels (Y, X) uint32, 1..N in raster order of each nucleus' first pixel; 0 is background.

    Raises:
        InputError: another shape or pixel type, no pixels, or pixels that are not finite.
        WeightsError: no such model.
    """
    image = require_image(image)
    lane = lane_of_process(str(locate(model)))
    given: dict[str, object] = {"diameter_px": diameter_px}
    settings = validated(given if objects is None else given | {"objects": objects})
    thresholds, normalisation = chosen(lane.card, settings)
    constants = find_constants(image, normalisation)
    scale = Scale.of(lane.card, settings)
    return segment_image(image, constants, lane.grid, lane.predict, thresholds, scale).labels


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
    progress: Progress | None = None,
) -> RunResult:
    """Segments and measures a whole plate or collection into a run's folder; resumes one that was begun.

    With the local scheduler, a process that has a worker's libraries loaded stays for the next call.

    Raises:
        InputError, InputNotFound: the input or a setting. WeightsError: the model. Others as :func:`execute`.
    """
    load_ahead(scheduler_name)
    plate = source if isinstance(source, Plate) else open_plate(source, remembered=RunFolder(out).plate)
    return execute(
        prepare(plate, settings, block_px=block_px),
        out,
        scheduler_name=scheduler_name,
        scheduler_settings=scheduler_settings,
        insecure=insecure,
        workers=workers,
        restart=restart,
        reuse_probabilities=reuse_probabilities,
        fail_fast=fail_fast,
        progress=progress,
    )
