"""What a large image leaves on the way: its probabilities, and each block's labels, keys and rows.

Where these lie and in which form is decided here. Probabilities are a Zarr array of uint8, chunked
so that a tile's core is whole chunks; they stay after the run, because objects can be made again from them. A
block's outcome is one file (NumPy's .npz, without pickles). Everything is written whole or not at all, and
has a checksum, which is compared when it is read.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import google_crc32c
import numcodecs
import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import DamagedFile
from nucbatch.core.tiles import TileGrid
from nucbatch.store.atomic import cannot_write, write_bytes
from nucbatch.store.chunks import Array

_LONGEST_CHUNK_PX = 512
_SUM_BYTES = 10
_ZSTD = numcodecs.Zstd(level=0)


@dataclass(frozen=True, slots=True)
class Scratch:
    """The scratch folder of one image."""

    path: Path

    @property
    def units(self) -> Path:
        """The record of committed units."""
        return self.path / "units.txt"

    @property
    def constants(self) -> Path:
        """What is known of the whole image before the network sees it."""
        return self.path / "constants.json"

    @property
    def converted(self) -> Path:
        """Folder of files that were converted to be read by window, and the list of them."""
        return self.path / "converted"

    @property
    def offsets(self) -> Path:
        """How many nuclei begin above each row of blocks."""
        return self.path / "numbers" / "offsets.npy"

    @property
    def giants(self) -> Path:
        """Which pieces are one giant."""
        return self.path / "numbers" / "giants.json"

    @property
    def giant_rows(self) -> Path:
        """Giants' rows of the nuclei table."""
        return self.path / "numbers" / "giants.parquet"

    def survey(self, row: int, column: int) -> Path:
        """Grey levels of a part of the image."""
        return self.path / "survey" / str(row) / f"{column}.bin"

    def block(self, row: int, column: int) -> Path:
        """A block's labels and keys."""
        return self.path / "blocks" / str(row) / f"{column}.npz"

    def rows(self, row: int, column: int) -> Path:
        """A block's rows of the nuclei table."""
        return self.path / "rows" / str(row) / f"{column}.parquet"

    def keys(self, row: int) -> Path:
        """All keys of a row of blocks, ascending."""
        return self.path / "numbers" / f"{row}.npy"

    def maps(self, grid: TileGrid, shape: tuple[int, int], outputs: int) -> Array:
        """The probabilities (outputs, Y, X) uint8 of an image of (Y, X) as the network sees it."""
        return Array(
            self.path / "probabilities",
            (outputs, *shape),
            "uint8",
            "maps",
            ("map", "y", "x"),
            (_map_chunk_px(grid, shape[0]), _map_chunk_px(grid, shape[1])),
            together=True,
        )

    def drop_objects(self) -> None:
        """Removes what was made from the probabilities."""
        for name in ("blocks", "rows", "numbers"):
            shutil.rmtree(self.path / name, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """A block's outcome: ``labels`` (Y, X) uint32 of its core, 1..n; ``keys`` (n,) int64, -1 for a piece of a
    giant; ``owned`` (m,) int64; ``pieces`` as plain values."""

    labels: NDArray[np.uint32]
    keys: NDArray[np.int64]
    owned: NDArray[np.int64]
    pieces: list[dict[str, Any]]


def write_block(
    path: Path,
    labels: NDArray[np.uint32],
    keys: NDArray[np.int64],
    owned: NDArray[np.int64],
    pieces: Sequence[Any],
) -> None:
    """Writes a block's outcome; ``pieces`` are dataclasses.

    Raises:
        StoreError: it can't be written.
    """
    narrow = np.uint16 if len(keys) < 2**16 else np.uint32
    packed = np.frombuffer(_ZSTD.encode(np.ascontiguousarray(labels, narrow)), np.uint8)
    content = io.BytesIO()
    np.savez(
        content,
        labels=packed,
        shape=np.array([*labels.shape, np.dtype(narrow).itemsize], np.int64),
        keys=keys,
        owned=owned,
        pieces=np.frombuffer(json.dumps([asdict(piece) for piece in pieces]).encode(), np.uint8),
    )
    _write(path, content.getbuffer())


def read_block(path: Path) -> StoredBlock:
    """A block's outcome.

    Raises:
        DamagedFile: it is missing or damaged.
    """
    with _stored(path) as stored:
        height, width, itemsize = stored["shape"].tolist()
        narrow = np.uint16 if itemsize == 2 else np.uint32
        pixels = np.frombuffer(_ZSTD.decode(stored["labels"].tobytes()), narrow)
        return StoredBlock(
            pixels.reshape(height, width).astype(np.uint32),
            stored["keys"],
            stored["owned"],
            json.loads(stored["pieces"].tobytes()),
        )


def read_owned(path: Path) -> tuple[NDArray[np.int64], list[dict[str, Any]]]:
    """The keys of the objects that begin in a block, and its pieces of giants; no pixels are read.

    Raises:
        DamagedFile: it is missing or damaged.
    """
    with _stored(path) as stored:
        return stored["owned"], json.loads(stored["pieces"].tobytes())


def write_numbers(path: Path, numbers: NDArray[np.int64]) -> None:
    """Writes a list of whole numbers (n,).

    Raises:
        StoreError: it can't be written.
    """
    content = io.BytesIO()
    np.save(content, numbers)
    _write(path, _summed(content.getvalue()))


def read_numbers(path: Path) -> NDArray[np.int64]:
    """A list of whole numbers (n,).

    Raises:
        DamagedFile: it is missing or damaged.
    """
    try:
        return np.asarray(np.load(io.BytesIO(_unsummed(path)), allow_pickle=False), np.int64)
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path, error) from error


def write_values(path: Path, values: Any) -> None:
    """Writes plain values as JSON.

    Raises:
        StoreError: they can't be written.
    """
    _write(path, _summed(json.dumps(values).encode()))


def read_values(path: Path) -> Any:
    """Plain values.

    Raises:
        DamagedFile: they are missing or damaged.
    """
    try:
        return json.loads(_unsummed(path))
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error


def write_parts(path: Path, parts: Sequence[bytes]) -> None:
    """Writes several runs of bytes into one file.

    Raises:
        StoreError: it can't be written.
    """
    lengths = np.array([len(parts), *(len(part) for part in parts)], "<i8")
    _write(path, _summed(lengths.tobytes() + b"".join(parts)))


def read_parts(path: Path) -> list[bytes]:
    """What :func:`write_parts` wrote.

    Raises:
        DamagedFile: it is missing or damaged.
    """
    try:
        content = _unsummed(path)
        count = int(np.frombuffer(content[:8], "<i8")[0])
        ends = np.cumsum(np.frombuffer(content[8 : 8 + 8 * count], "<i8")) + 8 * (count + 1)
    except (OSError, ValueError, IndexError) as error:
        raise _damaged(path, error) from error
    begins = [8 * (count + 1), *ends[:-1].tolist()]
    return [content[begin:end] for begin, end in zip(begins, ends.tolist(), strict=True)]


@contextmanager
def _stored(path: Path) -> Iterator[Any]:
    """A block's arrays, each read, and held against its checksum, when it is asked for."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            yield stored
    # EOFError, BadZipFile: of NumPy's and Python's readers; RuntimeError: of the codec.
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, RuntimeError) as error:
        raise _damaged(path, error) from error


def _summed(content: bytes) -> memoryview:
    """Content, and its checksum on a line of its own."""
    return memoryview(content + b"\n%08x\n" % google_crc32c.value(content))


def _unsummed(path: Path) -> bytes:
    read = path.read_bytes()
    content, line = read[:-_SUM_BYTES], read[-_SUM_BYTES:]
    if line != b"\n%08x\n" % google_crc32c.value(content):
        raise ValueError(f"{len(read)} bytes do not end with their checksum")
    return content


def _write(path: Path, content: memoryview) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    write_bytes(path, content, durable=False)


def _damaged(path: Path, error: Exception) -> DamagedFile:
    return DamagedFile.at(path, f"can't be read ({type(error).__name__}: {error})")


def _map_chunk_px(grid: TileGrid, length_px: int) -> int:
    """The largest chunk of up to 512 px of which a tile's core is a whole number."""
    step = grid.step(length_px)
    if step >= length_px:
        return min(length_px, _LONGEST_CHUNK_PX)
    return next(side for side in range(_LONGEST_CHUNK_PX, 0, -1) if step % side == 0)
