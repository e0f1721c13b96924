"""The image below a drawing: grey stretched for the eye, colours as they are, packed for a page or file.

Decided here: percentiles 0.5 and 99.8 of the whole image become black and white, so that what is shown of a
large image looks as the rest of it. Pages get the image as JPEG, for which a hundred pixels of error do no
harm, and the drawing as PNG, so that either can be looked at alone.
"""

from __future__ import annotations

import base64
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

from nucbatch.core.errors import InputError
from nucbatch.scoring.pictures import Drawing

Bytes = npt.NDArray[np.uint8]

NO_IMAGE = 38  # grey level where no image was found
_GAMMA = 0.8  # dim nuclei show


def backdrop(image: npt.NDArray[Any] | None, drawing: Drawing, shape: tuple[int, int]) -> Bytes:
    """The drawing's part of an image as uint8: (Y, X) grey or (Y, X, 3) colours.

    Args:
        image: (Y, X) or (Y, X, 3), any numbers; None gives an even grey.
        drawing: what will lie over it.
        shape: the labels' height and width.

    Raises:
        InputError: the image is not of the labels' size.
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
    """A picture (Y, X, S) as PNG that a page can hold."""
    return "data:image/png;base64," + base64.b64encode(png(picture)).decode("ascii")


def jpeg_uri(picture: Bytes) -> str:
    """A picture (Y, X) or (Y, X, 3) as JPEG that a page can hold."""
    encoded = bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(picture), level=90))
    return "data:image/jpeg;base64," + base64.b64encode(encoded).decode("ascii")
