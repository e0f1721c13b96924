"""Illumination images of the user's: finds one for each channel, checks it, and applies it to pixels.

A file belongs to a channel if its name is the channel's name, begins with it (``DAPI_illum.tif``), or ends in
``Illum`` and the name, as in CellProfiler's examples and the Cell Painting Gallery (``Plate1_IllumDNA.npy``).

An image of factors (floats with a mean of 0.1 to 10, such as CellProfiler's functions) divides pixels as it
is. Any other image, such as an average of raw images, is scaled to a mean of 1 first, so that grey levels
keep their scale. Each pixel is computed from its own value alone, so the result does not depend on the box in
which it is read. Integers are rounded to the nearest (ties to even) and clipped to the type's range; a
saturated integer (the type's maximum) stays saturated. Images are kept as float32, once per process.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import ImageUnavailable, InputError, InputNotFound, UnreadableImage
from nucbatch.core.escape import printable
from nucbatch.core.flat_field import LEAST_GAIN
from nucbatch.core.illumination import IlluminationImage, Method
from nucbatch.core.plate import Channel, Plate
from nucbatch.core.tiles import Box
from nucbatch.readers.formats import open_plane, whole
from nucbatch.readers.formats.headers import read_header

_SUFFIXES = (".npy", ".tif", ".tiff")
_FACTORS = (0.1, 10.0)
_MOST_PX = 1 << 14
_STRIPE_PX = 1 << 15  # pixels computed at once, which fit into a processor's cache
_OTHER_CHARACTERS = re.compile(r"[^0-9a-z]+")


def with_illumination(plate: Plate, folder: Path, method: Method) -> Plate:
    """Returns the plate whose channels are corrected by the images of a folder.

    Args:
        plate: with the sizes of its images.
        folder: one image for each channel of the plate.
        method: divide pixels by the image, or subtract it from them.

    Raises:
        InputNotFound: the folder does not exist.
        InputError: a channel has no image or several; or one can't be read, is of another size than the
            plate's fields, or has values that can't be used.
    """
    chosen = _files_by_channel(plate, folder, method)
    channels = tuple(
        replace(one, flat_field=_checked(plate, one, chosen[one.name], method)) for one in plate.channels
    )
    return replace(plate, channels=channels, corrected=True)


def folder_digest(folder: Path | None) -> list[str]:
    """Returns path, names and SHA-256 of the images of a folder, to recognise a change of any of them."""
    if folder is None:
        return []
    return [str(folder.absolute()), *(f"{path.name} {_sha256(path)}" for path in _images(folder))]


def apply_illumination(image: IlluminationImage, pixels: NDArray[Any], box: Box) -> None:
    """Corrects the pixels (Y, X) of a box of a field in place.

    Raises:
        ImageUnavailable: the file can't be read, or has changed since the run was planned.
    """
    values = _loaded(image)[box.y0 : box.y1, box.x0 : box.x1]
    whole = np.iinfo(pixels.dtype) if pixels.dtype.kind in "ui" else None
    step = max(1, _STRIPE_PX // max(box.shape[1], 1))
    for top in range(0, box.shape[0], step):
        stripe, factors = pixels[top : top + step], values[top : top + step]
        corrected = stripe / factors if image.method == "divide" else stripe - factors
        if whole:
            np.rint(corrected, out=corrected)
            np.clip(corrected, whole.min, whole.max, out=corrected)
            corrected[stripe == whole.max] = whole.max
        stripe[:] = corrected


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputNotFound(f"--illumination: {printable(str(folder))} is no folder: give one of images.")
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file())


def _files_by_channel(plate: Plate, folder: Path, method: Method) -> dict[str, Path]:
    found = _images(folder)
    chosen: dict[str, Path] = {}
    for channel in plate.channels:
        named = _named(found, (channel.name,)) or _named(found, channel.aliases)
        if len(named) > 1:
            names = ", ".join(printable(path.name) for path in named)
            raise InputError(
                f"--illumination: channel {printable(channel.name)} has {len(named)} images in "
                f"{printable(str(folder))} ({names}): leave one of them."
            )
        chosen |= dict.fromkeys([channel.name] if named else [], *named)
    missing = [channel.name for channel in plate.channels if channel.name not in chosen]
    if missing:
        first = printable(missing[0])
        names = ", ".join(printable(path.name) for path in found[:8]) or "no .npy and no TIFF"
        raise InputError(
            f"--illumination: no image for channel {', '.join(map(printable, missing))} in "
            f"{printable(str(folder))} ({names}). Name it after the channel, as {first}.npy, {first}.tif or "
            f"Plate_Illum{first}.npy. To leave a channel as it is, give an image of "
            f"{'ones' if method == 'divide' else 'zeros'}."
        )
    return chosen


def _named(files: list[Path], names: tuple[str, ...]) -> list[Path]:
    """Returns the files whose names are, begin with, or end in ``illum`` and one of these names."""
    words = [word for name in names if (word := _plain(name))]
    patterns = [re.compile(rf"{word}(_.*|illum.*)?|(.*_)?illum_?{word}") for word in map(re.escape, words)]
    return [path for path in files if any(one.fullmatch(_plain(path.stem)) for one in patterns)]


def _plain(name: str) -> str:
    return _OTHER_CHARACTERS.sub("_", name.casefold()).strip("_")


def _checked(plate: Plate, channel: Channel, path: Path, method: Method) -> IlluminationImage:
    """Reads an image, and checks its size and values.

    Raises:
        InputError: it can't be used for the plate.
    """
    shown = f"--illumination: {printable(path.name)}, the image of channel {printable(channel.name)},"
    try:
        values = _read(path)
    except UnreadableImage as error:
        raise InputError(f"{shown} can't be used: {error}.") from error
    high, wide = values.shape
    for field in plate.fields:
        if not field.problem and (field.height_px, field.width_px) != (high, wide):
            raise InputError(
                f"{shown} is of {high} × {wide} px, and {printable(field.name)} of {field.height_px} × "
                f"{field.width_px} px: both must have one size."
            )
    if not np.isfinite(values).all():
        raise InputError(f"{shown} has values that are NaN or infinite: all must be numbers.")
    lowest, mean = float(values.min()), float(values.mean())
    if method == "divide" and lowest <= 0:
        raise InputError(
            f"{shown} has values down to {lowest:g}, by which pixels can't be divided: all must be above 0. "
            "Smooth it, or subtract it with --illumination-method subtract."
        )
    if method == "divide" and lowest < LEAST_GAIN * mean:
        raise InputError(
            f"{shown} has values from {lowest:g}, which is less than {LEAST_GAIN:.0%} of their mean "
            f"({mean:g}): it is no illumination."
        )
    if method == "subtract" and 0 < values.max() <= 1 and _whole_numbers(plate):
        raise InputError(
            f"{shown} has values up to {float(values.max()):g}: to be subtracted they must be grey levels. "
            "Multiply CellProfiler's functions by 65535, or by 255 for 8-bit images."
        )
    return IlluminationImage(str(path.absolute()), _sha256(path), (wide, high), method)


def _whole_numbers(plate: Plate) -> bool:
    return any(np.dtype(field.dtype).kind in "ui" for field in plate.fields if not field.problem)


@lru_cache(maxsize=16)
def _loaded(image: IlluminationImage) -> NDArray[np.float32]:
    """Reads an image once per process, scaled where it is not one of factors."""
    path = Path(image.path)
    try:
        if _sha256(path) != image.sha256:
            raise ImageUnavailable(f"{path}: the illumination image has changed since the run was planned")
        values = _read(path)
    except (OSError, InputError) as error:
        if isinstance(error, ImageUnavailable):
            raise
        raise ImageUnavailable(f"{path}: the illumination image can't be read ({error})") from error
    scaled = image.method == "divide" and not _is_factors(values)
    gain = values.astype(np.float64) / values.mean(dtype=np.float64) if scaled else values
    gain = gain.astype(np.float32)
    gain.flags.writeable = False
    return gain


def _is_factors(values: NDArray[Any]) -> bool:
    """Returns whether an image holds factors, and not grey levels, which are scaled to a mean of 1."""
    return values.dtype.kind == "f" and _FACTORS[0] <= float(values.mean(dtype=np.float64)) <= _FACTORS[1]


def _read(path: Path) -> NDArray[Any]:
    """Reads an image (Y, X).

    Raises:
        UnreadableImage: it is damaged, or not one plane of numbers; the message is a reason.
    """
    values = _read_npy(path) if path.suffix.lower() == ".npy" else _read_tiff(path)
    if values.ndim != 2 or values.dtype.kind not in "uif" or not 0 < max(values.shape) <= _MOST_PX:
        raise UnreadableImage(
            f"it has the shape {values.shape} and the type {values.dtype}, and must be one plane (Y, X) of "
            "numbers"
        )
    return values


def _read_npy(path: Path) -> NDArray[Any]:
    try:
        # A memory map is refused if the file is shorter than its header says, before memory is reserved.
        return np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, EOFError, MemoryError, SyntaxError) as error:
        raise UnreadableImage(f"it is no .npy file of numbers ({str(error).splitlines()[0]})") from error


def _read_tiff(path: Path) -> NDArray[Any]:
    pages = read_header(path).pages
    if pages != 1:
        raise UnreadableImage(f"it has {pages} pages instead of one")
    with open_plane(path) as window:
        return window.read(whole(window))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
