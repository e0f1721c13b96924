"""Measures the scale of a large image for the network, before its first stage.

Windows and constants are those of the same image in one block, so the scale does not depend on the blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nucbatch.core.errors import MemoryRefused, UnreadableImage
from nucbatch.execution.large.image import LargeImage
from nucbatch.execution.large.survey import CONVERSION_BYTES, convert_files, source_of
from nucbatch.inference.scale import Scale, sample_boxes
from nucbatch.store.run_folder import RunFolder


@dataclass(frozen=True, slots=True)
class MeasuredScale:
    """The result of a scale task: the image with its scale, or the ``problem`` if it can't be read.

    ``damaged``: the channels that are to blame for the problem. ``note``: a message for the user.
    """

    image: LargeImage
    note: str = ""
    problem: str = ""
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ScaleTask:
    """Measures the scale of a large image."""

    image: LargeImage

    @property
    def key(self) -> str:
        """The task's unique name in the run."""
        return f"{self.image.field.key} scale"

    @property
    def folder(self) -> RunFolder:
        """The run's folder."""
        return self.image.folder

    def run(self) -> MeasuredScale:
        """Measures the scale; unreadable files are reported in the result, other errors are raised.

        Converts files that can't be read by window; later stages need them too.
        """
        # These load PyTorch, which the driver does not need.
        from nucbatch.inference.queue import queue_of_process
        from nucbatch.inference.segment import fit_windows

        image = self.image
        try:
            note = convert_files(image, CONVERSION_BYTES)
            source = source_of(image)
            seen = image.channels if image.channel is None else (image.channels[image.channel],)
            queue = queue_of_process(image.weights, image.settings.model_hash, image.settings.precision)
            windows = [
                image.reader.read_box(source.field, seen, box)
                for box in sample_boxes(image.shape, image.tiles.whole)
            ]
        except (UnreadableImage, MemoryRefused) as error:
            damaged = error.channels if isinstance(error, UnreadableImage) else ()
            return MeasuredScale(image, problem=str(error), damaged=damaged)
        fitted = fit_windows(
            [
                window[0] if len(window) == 1 else np.ascontiguousarray(window.transpose(1, 2, 0))
                for window in windows
            ],
            queue.grid,
            queue.predict,
            Scale.of(queue.card, image.settings),
        )
        return MeasuredScale(replace(image, fit=fitted), note)
