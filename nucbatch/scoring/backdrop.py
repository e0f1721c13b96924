"""Prepares the image that is shown below a drawing of matches, for the page and for picture files.

Grey levels are stretched between the percentiles 0.5 and 99.8 of the whole image, so that a part of a large
image looks like the rest of it. Colours are kept. Pages get the image as JPEG, where compression errors do no
harm, and the drawing as PNG, so that either can be viewed alone.
"""

from __future__ import annotations

import base64
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

from nucbatch.core.errors import InputError
from nucbatch.scoring.match_drawing import Drawing

Bytes = npt.NDArray[np.uint8]

NO_IMAGE = 38  # grey level where no image was found
_GAMMA = 0.8  # makes dim nuclei visible


def backdrop(image: npt.NDArray[Any] | None, drawing: Drawing, shape: tuple[int, int]) -> Bytes:
    """The drawing's part of an image as uint8: (Y, X) grey or (Y, X, 3) colour.

    Args:
        image: (Y, X) or (Y, X, 3) of any dtype; None gives uniform grey.
        drawing: the drawing that will lie over it.
        shape: height and width of the labels.

    Raises:
        InputError: the image has another size than the labels.
    """
    part = drawing.rows, drawing.columns
    if image is None:
        return np.full((part[0].stop - part[0].start, part[1].stop - part[1].start), NO_IMAGE, np.uint8)
    if image.ndim not in (2, 3) or image.shape[:2] != shape:
        raise InputError(
            f"it has shape {image.shape}, its labels are {shape[0]} × {shape[1]} px (height × width)."
        )
    if image.ndim == 3 and image.dtype == np.uint8:
        return np.ascontiguousarray(image[part])
    low, high = (float(level) for level in np.percentile(image, [0.5, 99.8]))
    scaled = np.clip((image[part].astype(np.float32) - low) / max(high - low, 1e-6), 0.0, 1.0) ** _GAMMA
    return np.asarray(np.rint(scaled * 255), np.uint8)


def composite(below: Bytes, drawing: Drawing) -> Bytes:
    """Backdrop and drawing in one picture: (Y, X, 3) uint8 of the drawing's size."""
    colours = below if below.ndim == 3 else np.repeat(below[..., None], 3, axis=2)
    scale = drawing.overlay.shape[0] // below.shape[0]
    base = colours.repeat(scale, axis=0).repeat(scale, axis=1).astype(np.float32)
    share = drawing.overlay[..., 3:].astype(np.float32) / 255
    return np.asarray(np.rint(base * (1 - share) + drawing.overlay[..., :3] * share), np.uint8)


def png(picture: Bytes) -> bytes:
    """A picture (Y, X, S) as PNG."""
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(picture), level=9))


def png_uri(picture: Bytes) -> str:
    """A picture (Y, X, S) as a data URI of a PNG."""
    return "data:image/png;base64," + base64.b64encode(png(picture)).decode("ascii")


def jpeg_uri(picture: Bytes) -> str:
    """A picture (Y, X) or (Y, X, 3) as a data URI of a JPEG."""
    encoded = bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(picture), level=90))
    return "data:image/jpeg;base64," + base64.b64encode(encoded).decode("ascii")
