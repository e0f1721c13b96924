"""Documents that describe a Zarr array, ``zarr.json`` or ``.zarray``, exactly as zarr writes them.

zarr itself creates each array in memory, so that its defaults and its spelling are used. The documents are
cached, because all fields of a plate share them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from nucbatch.store.shards import Codec, compressor_2, compressors


@lru_cache(maxsize=512)
def zarr_3_document(
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    shards: tuple[int, ...] | None,
    dtype: str,
    codec: Codec,
    names: tuple[str, ...],
    separator: Literal["/", "."],
) -> bytes:
    """Returns an array's zarr.json as zarr writes it."""
    array = zarr.create_array(
        store=MemoryStore(),
        shape=shape,
        chunks=chunks,
        shards=shards,
        dtype=dtype,
        filters=[],
        compressors=compressors(codec, np.dtype(dtype).itemsize),
        fill_value=0,
        dimension_names=names,
        chunk_key_encoding={"name": "default", "separator": separator},
        zarr_format=3,
    )
    return array.metadata.to_buffer_dict(default_buffer_prototype())["zarr.json"].to_bytes()


@lru_cache(maxsize=512)
def zarr_2_document(shape: tuple[int, ...], chunks: tuple[int, ...], dtype: str, codec: Codec) -> bytes:
    """Returns an array's .zarray as zarr writes it."""
    array = zarr.create_array(
        store=MemoryStore(),
        shape=shape,
        chunks=chunks,
        dtype=np.dtype(dtype).newbyteorder("<"),
        filters=None,
        compressors=compressor_2(codec),
        fill_value=0,
        chunk_key_encoding={"name": "v2", "separator": "/"},
        zarr_format=2,
    )
    return array.metadata.to_buffer_dict(default_buffer_prototype())[".zarray"].to_bytes()
