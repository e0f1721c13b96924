"""Images at another scale than the network was taught at: enlarged for it, and its maps brought back.

The decision owned here: pixels are resampled, nuclei are not. The image is scaled so that its nuclei have
the network's typical size, the maps come back to the image's own pixels, and thresholds, areas and outlines
are in those pixels as ever.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from nucbatch.masks.arrows import rescaled


def scaled_image(image: NDArray[np.float32], zoom: float) -> NDArray[np.float32]:
    """Image (C, Y, X) float32 → (C, Y', X') float32, ``zoom`` times as large, smoothed where it shrinks."""
    height, width = (max(1, round(side * zoom)) for side in image.shape[-2:])
    return _resampled(image, (height, width))


def maps_at(maps: NDArray[np.uint8], shape: tuple[int, int], zoom: float) -> NDArray[np.uint8]:
    """Maps (outputs, Y', X') uint8 of an image scaled by ``zoom`` → (outputs, Y, X) uint8 of that shape.

    Probabilities are interpolated. Offsets are not: between two nuclei they would point nowhere; they are
    taken from the nearest pixel and given the image's own length.
    """
    back = np.empty((len(maps), *shape), np.uint8)
    smooth = maps[:2].astype(np.float32)
    back[:2] = np.rint(_resampled(smooth, shape)).astype(np.uint8)
    if len(maps) == 4:
        rows, columns = (
            np.minimum(((np.arange(side) + 0.5) / side * own).astype(np.int64), own - 1)
            for side, own in zip(shape, maps.shape[-2:], strict=True)
        )
        back[2:] = rescaled(maps[2:, rows[:, np.newaxis], columns], 1 / zoom)
    return back


def _resampled(image: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    with torch.inference_mode():
        scaled = interpolate(
            torch.from_numpy(image)[np.newaxis], size=shape, mode="bilinear", antialias=True
        )[0]
    return np.asarray(scaled.numpy(), np.float32)
