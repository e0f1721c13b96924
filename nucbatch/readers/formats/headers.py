"""Reads and checks image headers: what they promise, and whether the file is long enough for it.

The format is detected from the first bytes, not from the name, and reads its own header. The checks here hold
for all formats. Nothing is decoded. Rejected, with the reason, are:

- empty files and web pages saved as images
- truncated files, whose strips, tiles or chunks extend beyond the end
- pixel types that a run does not support
- files of several pages whose roles are not recorded (``tiff_pages.py``)

Alpha is dropped and does not count as a sample. An OME-Zarr image is a folder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from nucbatch.core.errors import UnreadableImage
from nucbatch.object_store import as_path, file_size
from nucbatch.readers.formats.damage import damaged_header
from nucbatch.readers.formats.installed import format_of
from nucbatch.readers.formats.pixel_info import (
    MOST_PIXELS,
    MOST_PROJECTED,
    PixelInfo,
    require_believable,
)
from nucbatch.readers.formats.stack import stacked
from nucbatch.zarr_format import StoredArray
from nucbatch.zarr_format.ome import StoredForm, below, form_of

DTYPES = ("uint8", "uint16", "uint32", "int16", "int32", "float32", "float64")
"""Pixel types of images that a run can use."""
LABEL_DTYPES = (*DTYPES, "int64", "uint64")
"""Pixel types of label images: also NumPy's own integers, in which many programs save labels."""


def read_header(path: str | Path, page: int | None = None, dtypes: Sequence[str] = DTYPES) -> PixelInfo:
    """Reads the header of an image file, or of an OME-Zarr image's group.

    Args:
        path: file, or folder of an OME-Zarr image.
        page: number of the only page to use, from 0; None for all planes of the file.
        dtypes: pixel types that are accepted in a file.

    Raises:
        UnreadableImage: the image cannot be used; the message is the bare reason, without the path.
    """
    path = as_path(path)
    if path.is_dir():
        return _with_chunks(path, form_of(path))
    with damaged_header(), path.open("rb") as file:
        size_bytes = file_size(file)
        info = format_of(file).header(file, path, page)
    return _checked(info, size_bytes, dtypes)


def read_pages(path: str | Path, pages: Sequence[int]) -> list[PixelInfo | str]:
    """Reads the headers of single pages of a file, or the reasons why they can't be used.

    The file is opened once.

    Args:
        path: the file.
        pages: their numbers, from 0.
    """
    try:
        path = as_path(path)
        with damaged_header(), path.open("rb") as file:
            size_bytes = file_size(file)
            found = format_of(file).page_headers(file, path, pages)
    except UnreadableImage as error:
        return [str(error)] * len(pages)
    return [_checked_or_reason(one, size_bytes) for one in found]


def _checked_or_reason(found: PixelInfo | str, size_bytes: int) -> PixelInfo | str:
    if isinstance(found, str):
        return found
    try:
        return _checked(found, size_bytes)
    except UnreadableImage as error:
        return str(error)


def _checked(info: PixelInfo, size_bytes: int, dtypes: Sequence[str] = DTYPES) -> PixelInfo:
    values = info.height_px * info.width_px * info.samples
    require_believable(values * np.dtype(_believable(info, dtypes).dtype).itemsize, size_bytes)
    return _of_bounded_size(info)


def _believable(info: PixelInfo, dtypes: Sequence[str] = DTYPES) -> PixelInfo:
    if info.dtype not in dtypes:
        raise UnreadableImage(f"pixel type {info.dtype} can't be used: convert to one of {', '.join(dtypes)}")
    if info.height_px < 1 or info.width_px < 1:
        raise UnreadableImage(f"an image of {info.height_px} × {info.width_px} px")
    if info.samples == 3 and info.stack.depth * len(info.stack.channels) > 1:
        raise UnreadableImage(
            f"{info.stack.depth * len(info.stack.channels)} RGB pages of one time point: colours are not "
            "projected, and RGB has no further channels. Export one of them"
        )
    return info


def _of_bounded_size(info: PixelInfo) -> PixelInfo:
    if info.height_px * info.width_px > MOST_PIXELS:
        raise UnreadableImage(
            f"damaged header (an image of {info.height_px:,} × {info.width_px:,} px; the limit is "
            f"{MOST_PIXELS:,} px in all): save it again from its source"
        )
    if info.stack.depth > MOST_PROJECTED:
        raise UnreadableImage(
            f"{info.stack.depth:,} z-steps of one field; the limit is {MOST_PROJECTED:,}, because they are "
            "projected to one plane: if they are time points, save them as such, else project them before"
        )
    return info


def _with_chunks(group: Path, form: StoredForm) -> PixelInfo:
    info = _of_bounded_size(_believable(_stored(form)))
    absent, chunks = StoredArray(below(group, form.array), form.stored).count_absent()
    # As for files: the stored size must be in proportion to the promised size.
    promised_bytes = math.prod(form.shape) * np.dtype(form.dtype).itemsize
    require_believable(promised_bytes, promised_bytes * (chunks - absent) // max(chunks, 1))
    return replace(info, absent_chunks=absent, chunks=chunks)


def _stored(form: StoredForm) -> PixelInfo:
    leading = {axis: length for axis, length in zip(form.axes, form.shape, strict=True) if axis not in "yx"}
    if form.is_rgb:
        del leading["c"]
    return PixelInfo(
        height_px=form.shape[-2],
        width_px=form.shape[-1],
        samples=3 if form.is_rgb else 1,
        dtype=form.dtype,
        stack=stacked("".join(leading), list(leading.values()), () if form.is_rgb else form.channels),
        pixel_size_um=form.pixel_size_um,
        oblong_um=form.oblong_um,
        channels=form.described,
    )
