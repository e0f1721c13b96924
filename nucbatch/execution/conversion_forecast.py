"""Forecast of a conversion: its images, their size and the memory that it needs. Writes nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nucbatch.core.plate import Plate
from nucbatch.core.selection import Selection
from nucbatch.execution.conversion import PROCESS_BYTES, folder_beside, require_usable
from nucbatch.execution.conversion_queue import task_bytes
from nucbatch.planning.conversion import plan_conversion
from nucbatch.planning.plan import LARGEST_FIELD_PX
from nucbatch.schedulers.contract import Resources
from nucbatch.store.run_folder import RunFolder

_PYRAMID = 4 / 3
"""Pixels of all levels of a pyramid, as a multiple of the image's."""


@dataclass(frozen=True, slots=True)
class ConversionForecast:
    """What a conversion would write.

    ``folder``: the folder beside the OME-Zarr. ``images``: number of images to convert, of ``fields`` fields.
    ``unusable``: number of images that can't be used. ``stored_bytes``: size before compression.
    ``task_bytes``: projected peak memory of the largest task, without the process itself.
    """

    folder: RunFolder
    images: int
    fields: int
    unusable: int
    stored_bytes: int
    task_bytes: int

    def resources(self, workers: int | None) -> Resources:
        """Returns the resources that a cluster must provide."""
        return Resources(workers, PROCESS_BYTES, self.task_bytes, 0)


def forecast(
    plate: Plate, out: Path, *, selection: Selection, largest_px: int | None = None
) -> ConversionForecast:
    """Plans a conversion and writes nothing; arguments and errors as for ``execution.conversion.convert``."""
    folder = folder_beside(out)
    require_usable(folder, plate)
    images = plan_conversion(plate, selection)
    chosen = [image for image in images if image.selected]
    pixels = sum(math.prod(image.shape) * np.dtype(image.first.dtype).itemsize for image in chosen)
    return ConversionForecast(
        folder,
        len(chosen),
        sum(len(image.selected) for image in chosen),
        sum(bool(image.problem) for image in images),
        round(pixels * _PYRAMID),
        max((task_bytes(image, largest_px or LARGEST_FIELD_PX) for image in chosen), default=0),
    )
