"""The image that objects and rivals are measured on: a given one or a drawn one, mirrored up to a size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nucbatch.readers.pixels import read_image
from nucbatch.synthetic import make_field

DRAWN_PX = 1024
DRAWN_NUCLEI = 400


def field_of(path: Path | None, size_px: int) -> NDArray[np.generic]:
    """An image (Y, X) or (Y, X, 3) of that size: a file's, else a drawn one, repeated in mirrors."""
    if path is None:
        image = make_field(DRAWN_PX, np.random.default_rng(0), nuclei=DRAWN_NUCLEI, channels=1)[0][0]
    else:
        image = read_image(path)
    missing = [(0, max(0, size_px - side)) for side in image.shape[:2]]
    larger = np.pad(image, missing + [(0, 0)] * (image.ndim - 2), mode="symmetric")
    return np.ascontiguousarray(larger[:size_px, :size_px])
