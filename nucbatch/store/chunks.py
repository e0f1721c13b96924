"""How an array's chunks get to disk: Zarr 3's files, made in the calling thread.

zarr describes each array (its ``zarr.json``); the chunks are encoded here with the same codecs and land in
the same files, byte for byte what zarr writes (a test holds it to that). It is done here because a field is a
dozen small chunks, and zarr's event loop costs four times what encoding and writing them does.
Writing again leaves the same bytes, so a task may be retried at any point.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numcodecs
import numcodecs.blosc
import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import BloscCodec, ZstdCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from nucbatch.store.atomic import cannot_write, write_bytes

Codec = Literal["image", "labels"]

LONGEST_CHUNK_PX = 1024
_STEP_PX = 16

# Several tasks of a worker encode at once, each in its own thread; Blosc's own would fight over the cores.
numcodecs.blosc.use_threads = False
_ENCODERS = {
    "image": numcodecs.Blosc(cname="zstd", clevel=3, shuffle=numcodecs.Blosc.SHUFFLE),
    "labels": numcodecs.Zstd(level=0),
}


def chunk_px(length_px: int) -> int:
    """The chunk's side for an image's side: the fewest chunks of up to 1024 px, as even as 16 px allow.

    Even, because a last chunk of a few pixels costs as much to encode as a full one.
    """
    if length_px <= LONGEST_CHUNK_PX:
        return max(length_px, 1)
    count = -(-length_px // LONGEST_CHUNK_PX)
    return -(-length_px // (count * _STEP_PX)) * _STEP_PX


def write_array(path: Path, array: npt.NDArray[Any], codec: Codec, names: tuple[str, ...]) -> None:
    """Writes one whole array as a Zarr 3 array in the folder ``path``.

    Args:
        array: (Y, X) or (C, Y, X); integer or float.
        codec: Blosc-zstd with shuffling for images, zstd for labels.
        names: the axes' names, one per dimension.

    Raises:
        StoreError: a file can't be written.
    """
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    chunks = (1,) * (array.ndim - 2) + (chunk_px(array.shape[-2]), chunk_px(array.shape[-1]))
    _folder(path)
    write_bytes(
        path / "zarr.json", _description(array.shape, chunks, array.dtype, codec, names), durable=False
    )
    counts = [-(-length // chunk) for length, chunk in zip(array.shape, chunks, strict=True)]
    for place in product(*map(range, counts)):
        begin = [index * chunk for index, chunk in zip(place, chunks, strict=True)]
        piece = array[tuple(slice(at, at + chunk) for at, chunk in zip(begin, chunks, strict=True))]
        _write_chunk(path.joinpath("c", *map(str, place)), piece, chunks, codec)


def _write_chunk(path: Path, piece: npt.NDArray[Any], chunks: tuple[int, ...], codec: Codec) -> None:
    if not piece.any():
        path.unlink(missing_ok=True)  # an absent chunk is all zeros; one from an earlier attempt is not
        return
    if piece.shape != chunks:
        piece = np.pad(
            piece, [(0, chunk - length) for length, chunk in zip(piece.shape, chunks, strict=True)]
        )
    _folder(path.parent)
    write_bytes(path, _ENCODERS[codec].encode(np.ascontiguousarray(piece)), durable=False)


def _folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


@lru_cache(maxsize=512)
def _description(
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: np.dtype[Any],
    codec: Codec,
    names: tuple[str, ...],
) -> bytes:
    """The array's zarr.json, as zarr makes it. Kept, because a plate's fields share theirs."""
    blosc = BloscCodec(typesize=dtype.itemsize, cname="zstd", clevel=3, shuffle="shuffle")
    array = zarr.create_array(
        store=MemoryStore(),
        shape=shape,
        chunks=chunks,
        dtype=dtype,
        filters=[],
        compressors=[blosc if codec == "image" else ZstdCodec(level=0)],
        fill_value=0,
        dimension_names=names,
        zarr_format=3,
    )
    return array.metadata.to_buffer_dict(default_buffer_prototype())["zarr.json"].to_bytes()
