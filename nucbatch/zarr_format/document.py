"""Parses the metadata of Zarr arrays: ``zarr.json`` (Zarr 3) and ``.zarray`` (Zarr 2).

Pixel types and codecs come from an allow-list (see also ``codecs.py``), and all others are rejected by name.
Codecs that run code (numcodecs' ``pickle``) or build Python objects are therefore never looked up. zarr would
look up any codec that a package registers, so metadata are parsed here. Error messages are bare reasons
without the path.

Sources: https://zarr-specs.readthedocs.io (v2, and v3 core with its codecs).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import UnreadableImage
from nucbatch.zarr_format.codecs import ChunkCoding, codec_named
from nucbatch.zarr_format.json_file import damage, read_json_if_there

_PIXEL_TYPES = frozenset(
    np.dtype(name).name for name in ("?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8")
)
_MOST_DIMENSIONS = 32
_MOST_INDEX_BYTES = 1 << 26
_CHECKSUM_BYTES = 4
_V3_KEYS = {"zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding", "codecs"}
_V3_KEYS |= {"fill_value", "attributes", "dimension_names", "storage_transformers", "consolidated_metadata"}


@dataclass(frozen=True, slots=True)
class ShardIndex:
    """Index of a shard, the table of its chunks.

    Attributes:
        grid: number of chunks along each axis.
        at_start: the index is at the start of the file instead of the end.
        checksum: a CRC-32C follows the table.
    """

    grid: tuple[int, ...]
    at_start: bool
    checksum: bool

    @property
    def size_bytes(self) -> int:
        """Size of the index: offset and length of each chunk, and the checksum."""
        return 16 * math.prod(self.grid) + (_CHECKSUM_BYTES if self.checksum else 0)


@dataclass(frozen=True, slots=True)
class ArrayForm:
    """Array metadata.

    Attributes:
        shape: of the array.
        dtype: in native byte order.
        chunks: shape of a chunk, the unit of decoding.
        files: shape of a file: a chunk, or a shard of several chunks.
        index: index of the shards; None if a file is one chunk.
        coding: how a chunk is stored.
        fill: (), value of pixels without a stored chunk.
        prefix: first part of a file's name.
        separator: joins the prefix and the position in the grid.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    files: tuple[int, ...]
    index: ShardIndex | None
    coding: ChunkCoding
    fill: NDArray[Any]
    prefix: str
    separator: str

    @property
    def file_grid(self) -> tuple[int, ...]:
        """Number of files along each axis if none is absent."""
        return tuple(-(-length // side) for length, side in zip(self.shape, self.files, strict=True))

    def name(self, place: tuple[int, ...]) -> str:
        """Returns the path of a file below the array's folder."""
        parts = [self.prefix] if self.prefix else []
        parts += map(str, place) if place or self.prefix else ["0"]
        return self.separator.join(parts)


def array_form(folder: Path) -> ArrayForm:
    """Reads the metadata of the array in a folder.

    Raises:
        UnreadableImage: there is no array, its metadata are damaged, or its pixel type or a codec is not
            supported.
    """
    with damage():
        if (document := read_json_if_there(folder / "zarr.json")) is not None:
            return _version_3(document)
        if (document := read_json_if_there(folder / ".zarray")) is not None:
            return _version_2(document)
        raise UnreadableImage(f"its array {folder.name!r} is not there")


def _version_3(document: dict[str, Any]) -> ArrayForm:
    if document.get("node_type", "array") != "array":
        raise UnreadableImage(f"a Zarr {document['node_type']} instead of an array")
    for key in sorted(set(document) - _V3_KEYS):
        value = document[key]
        if not (isinstance(value, dict) and value.get("must_understand") is False):
            raise UnreadableImage(f"its metadata have the field {key!r}, which is not known")
    if document.get("storage_transformers"):
        raise UnreadableImage("its array has storage transformers: write it again without")
    shape, dtype = _shape(document["shape"]), _pixel_type(document["data_type"])
    name, grid = _extension(document["chunk_grid"])
    if name != "regular":
        raise UnreadableImage(f"its chunks form a {name!r} grid: only regular ones are read")
    files = _sides(grid["chunk_shape"], shape)
    name, settings = _extension(document["chunk_key_encoding"])
    if name not in ("default", "v2"):
        raise UnreadableImage(f"its chunks' names are encoded as {name!r}: default and v2 are read")
    separator = _separator(settings.get("separator", "/" if name == "default" else "."))
    codecs = [_extension(codec) for codec in document["codecs"]]
    index = None
    chunks = files
    if any(name == "sharding_indexed" for name, _ in codecs):
        if len(codecs) != 1:
            raise UnreadableImage(
                "its shards have codecs around them (" + ", ".join(name for name, _ in codecs) + "): write "
                "them without"
            )
        settings = codecs[0][1]
        chunks = _sides(settings["chunk_shape"], shape)
        if any(file % chunk for file, chunk in zip(files, chunks, strict=True)):
            raise UnreadableImage(f"its shards of {files} hold no whole number of chunks of {chunks}")
        index = _index(settings, tuple(file // chunk for file, chunk in zip(files, chunks, strict=True)))
        codecs = [_extension(codec) for codec in settings["codecs"]]
    return ArrayForm(
        shape,
        dtype.newbyteorder("="),
        chunks,
        files,
        index,
        _coding_3(codecs, dtype, chunks),
        _fill(document["fill_value"], dtype),
        "c" if name == "default" else "",
        separator,
    )


def _index(settings: dict[str, Any], grid: tuple[int, ...]) -> ShardIndex:
    names = [name for name, _ in map(_extension, settings["index_codecs"])]
    big = any(config.get("endian") == "big" for _, config in map(_extension, settings["index_codecs"]))
    where = settings.get("index_location", "end")
    if names not in (["bytes"], ["bytes", "crc32c"]) or big or where not in ("start", "end"):
        raise UnreadableImage(
            f"its shards' indices are encoded by {', '.join(names)} at the {where}: little-endian bytes, "
            "with or without crc32c, at start or end are read"
        )
    index = ShardIndex(grid, where == "start", len(names) == 2)
    if index.size_bytes > _MOST_INDEX_BYTES:
        raise UnreadableImage(
            f"its shards have indices of {index.size_bytes:,} bytes; the limit is {_MOST_INDEX_BYTES:,}: "
            "save it again in larger chunks"
        )
    return index


def _coding_3(
    codecs: list[tuple[str, dict[str, Any]]], dtype: np.dtype[Any], chunk: tuple[int, ...]
) -> ChunkCoding:
    order = tuple(range(len(chunk)))
    rest = list(codecs)
    while rest and rest[0][0] == "transpose":
        turned = tuple(int(axis) for axis in rest.pop(0)[1]["order"])
        if sorted(turned) != list(range(len(chunk))):
            raise UnreadableImage(f"its codec transpose has the order {turned} for {len(chunk)} dimensions")
        order = tuple(order[axis] for axis in turned)
    if not rest or rest[0][0] != "bytes":
        raise UnreadableImage(
            f"its codec {rest[0][0] if rest else 'bytes'!r} is not read: transpose, bytes and compressors are"
        )
    endian = rest.pop(0)[1].get("endian", "little")
    if endian not in ("little", "big"):
        raise UnreadableImage(f"its bytes have the order {endian!r}: little and big are read")
    stored = dtype.newbyteorder("<" if endian == "little" else ">")
    return ChunkCoding(
        chunk, order, stored, tuple(codec_named(name, settings, dtype) for name, settings in rest)
    )


def _version_2(document: dict[str, Any]) -> ArrayForm:
    shape, dtype = _shape(document["shape"]), _pixel_type(document["dtype"])
    chunks = _sides(document["chunks"], shape)
    order = document.get("order", "C")
    if order not in ("C", "F"):
        raise UnreadableImage(f"its chunks are in the order {order!r}: C and F are read")
    codecs = [
        *(document.get("filters") or ()),
        *([document["compressor"]] if document.get("compressor") else []),
    ]
    steps = tuple(codec_named(str(codec["id"]), codec, dtype) for codec in codecs)
    axes = tuple(range(len(shape)))
    written = document.get("fill_value")
    return ArrayForm(
        shape,
        dtype.newbyteorder("="),
        chunks,
        chunks,
        None,
        ChunkCoding(chunks, axes if order == "C" else axes[::-1], dtype, steps),
        _fill(0 if written is None else written, dtype),
        "",
        _separator(document.get("dimension_separator", ".")),
    )


def _extension(written: Any) -> tuple[str, dict[str, Any]]:
    """Returns name and configuration of a Zarr 3 extension point, which may also be a bare name."""
    if isinstance(written, str):
        return written, {}
    return str(written["name"]), dict(written.get("configuration") or {})


def _shape(written: Any) -> tuple[int, ...]:
    shape = tuple(_whole(length) for length in written)
    if not 2 <= len(shape) <= _MOST_DIMENSIONS or min(shape) < 1:
        raise UnreadableImage(f"an image of shape {shape}")
    return shape


def _sides(written: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    sides = tuple(_whole(length) for length in written)
    if len(sides) != len(shape) or min(sides) < 1:
        raise UnreadableImage(f"its chunks of shape {sides} don't fit an array of shape {shape}")
    return sides


def _whole(number: Any) -> int:
    if isinstance(number, bool) or int(number) != number:
        raise ValueError(f"{number!r} is no whole number")
    return int(number)


def _pixel_type(written: Any) -> np.dtype[Any]:
    """Returns the NumPy type, in the byte order given by Zarr 2."""
    refusal = (
        f"pixel type {str(written)[:60]} can't be used: convert to one of {', '.join(sorted(_PIXEL_TYPES))}"
    )
    if not isinstance(written, str):
        raise UnreadableImage(refusal)
    try:
        dtype = np.dtype(written)
    except (TypeError, ValueError, SyntaxError) as error:
        raise UnreadableImage(refusal) from error
    if dtype.name not in _PIXEL_TYPES or dtype.shape:
        raise UnreadableImage(refusal)
    return dtype


def _fill(written: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    native = dtype.newbyteorder("=")
    if dtype.kind == "f" and isinstance(written, str) and written.startswith("0x"):
        bits = int(written, 16).to_bytes(dtype.itemsize, "little")
        return np.frombuffer(bits, native.newbyteorder("<")).reshape(()).astype(native)
    if dtype.kind == "f":
        return np.array(float(written), native)
    number = _whole(written) if not isinstance(written, bool) else int(written)
    limits = (0, 1) if dtype.kind == "b" else (np.iinfo(native).min, np.iinfo(native).max)
    if not limits[0] <= number <= limits[1]:
        raise UnreadableImage(f"its fill value {number} is none of type {dtype.name}")
    return np.array(number, native)


def _separator(written: Any) -> str:
    if written not in ("/", "."):
        raise UnreadableImage(f"its chunks' names have the separator {written!r}: / and . are read")
    return str(written)
