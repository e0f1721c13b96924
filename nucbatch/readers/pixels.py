"""From bytes to arrays, in the pixel type of the file.

Decisions owned here: z-planes of a channel are projected by maximum; what differs from the plan in size
or type is refused, never cast; NaN and infinity are refused; white-is-zero TIFFs are inverted, so that
bright is always large; alpha is dropped. An RGB plane (its channel in the plan is ``RGB``) gives Red,
Green and Blue.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from nucbatch.errors import UnreadableImage
from nucbatch.plate import Channel, Field, Plane, Plate
from nucbatch.readers.headers import DAMAGE, PixelInfo, kind_of, read_header

RGB = "RGB"
RGB_CHANNELS = ("Red", "Green", "Blue")


def probe(path: str | Path) -> PixelInfo:
    """What an image's header promises, without decoding it.

    Raises:
        UnreadableImage: it can't be used (see :mod:`nucbatch.readers.headers`); path and reason.
    """
    try:
        return read_header(path)
    except UnreadableImage as error:
        raise UnreadableImage(f"{path}: {error}") from error


def field_channels(plate: Plate, field: Field) -> tuple[Channel, ...]:
    """The channels a field's array has, in the plate's order. RGB planes count as Red, Green and Blue."""
    names: set[str] = set()
    for plane in field.planes:
        names.update(RGB_CHANNELS if plane.channel == RGB else (plane.channel,))
    return tuple(channel for channel in plate.channels if channel.name in names)


def read_field(plate_root: str | Path, field: Field, channels: tuple[Channel, ...]) -> NDArray[Any]:
    """The pixels of a field.

    Returns: (C, Y, X) in the field's dtype, one entry per channel in the order given; z-planes max-projected.

    Raises:
        UnreadableImage: a plane is missing, damaged, or not of the planned size and type.
    """
    wanted = [channel.name for channel in channels]
    array = np.empty((len(wanted), field.height_px, field.width_px), np.dtype(field.dtype or "uint8"))
    unwritten = set(wanted)
    for plane in field.planes:
        names = RGB_CHANNELS if plane.channel == RGB else (plane.channel,)
        if unwritten.isdisjoint(names) and not set(wanted).intersection(names):
            continue
        pixels = _plane(plate_root, plane, field)
        for sample, name in enumerate(names):
            for index in (index for index, other in enumerate(wanted) if other == name):
                values = pixels[..., sample]
                if name in unwritten:
                    array[index] = values
                else:
                    np.maximum(array[index], values, out=array[index])
            unwritten.discard(name)
    if unwritten:
        raise UnreadableImage(
            f"{field.name}: {field.problem or 'it has no channel ' + ', '.join(sorted(unwritten))}"
        )
    return array


def read_image(path: str | Path) -> NDArray[Any]:
    """One picture, outside any plate.

    Returns: (Y, X) if grey, (Y, X, S) with S = 3 if RGB, in the file's dtype; alpha is dropped.

    Raises:
        UnreadableImage: it can't be decoded; the message has the path and the reason.
    """
    info = probe(path)
    pixels = _decoded(path, str(path))
    if pixels.shape != (info.height_px, info.width_px, info.samples):
        raise UnreadableImage(f"{path}: decoded to {pixels.shape}, but its header says {info}")
    return pixels[..., 0] if info.samples == 1 else pixels


def _plane(root: str | Path, plane: Plane, field: Field) -> NDArray[Any]:
    pixels = _decoded(Path(root, plane.path), plane.path)
    planned = (field.height_px, field.width_px, plane.samples)
    if pixels.shape != planned or pixels.dtype.name != field.dtype:
        raise UnreadableImage(
            f"{plane.path}: {pixels.dtype.name} {pixels.shape}, but {field.dtype} {planned} was planned: "
            "the file has changed since"
        )
    return pixels


def _decoded(path: str | Path, shown: str) -> NDArray[Any]:
    """(Y, X, S) with S = 1 or 3; ``shown`` is the path for messages."""
    try:
        with Path(path).open("rb") as file:
            kind = kind_of(file.read(32))
            file.seek(0)
            if kind == "tiff":
                pixels = _tiff(file)
            else:
                data = file.read()
                pixels = imagecodecs.png_decode(data) if kind == "png" else imagecodecs.jpeg8_decode(data)
    except UnreadableImage as error:
        raise UnreadableImage(f"{shown}: {error}") from error
    except OSError as error:
        raise UnreadableImage(f"{shown}: can't be opened ({error.strerror or error})") from error
    except DAMAGE as error:
        raise UnreadableImage(f"{shown}: can't be decoded ({type(error).__name__}: {error})") from error
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3:
        raise UnreadableImage(f"{shown}: {pixels.ndim} dimensions where one plane was meant")
    pixels = pixels[..., : 3 if pixels.shape[2] >= 3 else 1]
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise UnreadableImage(f"{shown}: holds NaN or infinity")
    return pixels


def _tiff(file: Any) -> NDArray[Any]:
    """(Y, X) or (Y, X, S) of the first page."""
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages[0]
        pixels: NDArray[Any] = page.asarray(maxworkers=1)
        if page.planarconfig == 2 and page.samplesperpixel > 1:
            pixels = np.moveaxis(pixels, 0, -1)
        if page.photometric == 0 and pixels.dtype.kind == "u":
            pixels = (2 ** min(page.bitspersample, 8 * pixels.dtype.itemsize) - 1) - pixels
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
