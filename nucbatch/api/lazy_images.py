"""Images and labels of a run as Dask arrays: a chunk is a file or a part of one, read when it is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.base import tokenize
from numpy.typing import NDArray

from nucbatch.core.errors import InputError
from nucbatch.core.tiles import Box
from nucbatch.labels.run_images import SourceImage
from nucbatch.object_store import as_path
from nucbatch.readers.pixels import read_image
from nucbatch.store.pyramid import level_count
from nucbatch.zarr_format import StoredArray

_CHUNK_PX = 4096


def stored_array(stored: StoredArray) -> da.Array:
    """A Zarr array as a Dask array of its files (chunks, or shards)."""
    form = stored.form
    chunks = da.core.normalize_chunks(form.files, form.shape)
    metadata = [path.stat().st_mtime_ns for path in stored.folder.iterdir() if path.is_file()]
    return da.map_blocks(
        _read,
        str(stored.folder),
        chunks=chunks,
        meta=np.empty((0,) * len(form.shape), form.dtype),
        name=f"nucbatch-read-{tokenize(str(stored.folder), sorted(metadata))}",
    )


def source_array(image: SourceImage, level: int) -> da.Array:
    """A field's image (C, Y, X) in the files of the input, at one level of its pyramid.

    Raises:
        InputError: there is no such level.
    """
    channels, height, width = image.shape(level)
    levels = level_count(*image.shape()[1:])
    if level >= levels:
        raise InputError(f"{image.field.name} has no level {level}: it has {levels}, from 0.")
    return da.map_blocks(
        _read_source,
        image,
        level,
        chunks=da.core.normalize_chunks((channels, _CHUNK_PX, _CHUNK_PX), (channels, height, width)),
        meta=np.empty((0, 0, 0), image.dtype),
        name=f"nucbatch-read-{tokenize(image.field, str(image.reader.root), level)}",
    )


def label_tiff(path: Path, shape: tuple[int, int]) -> da.Array:
    """A label TIFF as a Dask array (Y, X) uint32 of one chunk."""
    return da.from_delayed(dask.delayed(_read_labels)(str(path)), shape, np.uint32)


def _read(folder: str, block_info: dict[Any, Any]) -> NDArray[Any]:
    begin, end = zip(*block_info[None]["array-location"], strict=True)
    return StoredArray(as_path(folder)).read(begin, end)[0]


def _read_source(image: SourceImage, level: int, block_info: dict[Any, Any]) -> NDArray[Any]:
    _, (top, bottom), (left, right) = block_info[None]["array-location"]
    return image.read(level, Box(top, left, bottom, right))


def _read_labels(path: str) -> NDArray[np.uint32]:
    return read_image(path).astype(np.uint32)
