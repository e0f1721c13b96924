"""At which scale a large image is seen, measured before anything else of it is done.

The windows and their constants are those of the same image in one piece, so both are seen at one scale,
whatever the blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nucbatch.core.errors import MemoryRefused, UnreadableImage
from nucbatch.execution.large.image import LargeImage
from nucbatch.execution.large.survey import CONVERSION_BYTES, convert_files, source_of
from nucbatch.inference.queue import queue_of_process
from nucbatch.inference.scale import Scale, sample_boxes
from nucbatch.inference.segment import zoom_in
from nucbatch.readers.pixels import read_box
from nucbatch.store.folder import RunFolder


@dataclass(frozen=True, slots=True)
class Measured:
    """What a worker sends back: the image with its zoom, or why it can't be read. ``note`` is for people."""

    image: LargeImage
    note: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ScaleTask:
    """Measures a large image whose zoom is not known yet."""

    image: LargeImage

    @property
    def key(self) -> str:
        """A name that no other work in the run has."""
        return f"{self.image.field.key} scale"

    @property
    def folder(self) -> RunFolder:
        """The run's."""
        return self.image.folder

    def run(self) -> Measured:
        """Measures it. An image whose files can't be read gives an outcome that says so; all else is raised.

        Files that can't be read by window are converted, as they will be needed so.
        """
        image = self.image
        try:
            note = convert_files(image, CONVERSION_BYTES)
            source = source_of(image)
            seen = image.channels if image.channel is None else (image.channels[image.channel],)
            queue = queue_of_process(image.weights, image.settings.model_hash, image.settings.precision)
            windows = [
                read_box(source.plate_root, source.field, seen, box, image.read_timeout_s)
                for box in sample_boxes(image.shape, image.tiles.whole)
            ]
        except (UnreadableImage, MemoryRefused) as error:
            return Measured(image, problem=str(error))
        zoom = zoom_in(
            [
                window[0] if len(window) == 1 else np.ascontiguousarray(window.transpose(1, 2, 0))
                for window in windows
            ],
            queue.grid,
            queue.predict,
            image.settings.objects,
            Scale.of(queue.card, image.settings),
        )
        return Measured(replace(image, zoom=zoom), note)
