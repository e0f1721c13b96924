"""Intermediate files of a large image: probabilities, and the labels, keys and rows of each block.

Probabilities are a Zarr array of uint8 whose chunks divide a tile's core. They stay after the run, so that
objects can be made again with other settings. A block's result is one .npz file without pickles. Every file
is written whole or not at all and has a checksum, which is compared when it is read.
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

_LONGEST_CHUNK_PX, _SHORTEST_CHUNK_PX = 512, 128
_SUM_BYTES = 10
_ZSTD = numcodecs.Zstd(level=0)


@dataclass(frozen=True, slots=True)
class Scratch:
    """Paths in the scratch folder of one image."""

    path: Path

    @property
    def units(self) -> Path:
        """Ledger of committed units."""
        return self.path / "units.txt"

    @property
    def stages(self) -> Path:
        """Name of the image, and the grid of each stage, for ``nucbatch status``."""
        return self.path / "stages.json"

    @property
    def constants(self) -> Path:
        """Statistics of the whole image, computed before inference."""
        return self.path / "constants.json"

    @property
    def sample(self) -> Path:
        """Sample of the whole image for quality figures."""
        return self.path / "sample.bin"

    @property
    def converted(self) -> Path:
        """Folder of files converted for windowed reading, and their list."""
        return self.path / "converted"

    @property
    def offsets(self) -> Path:
        """Number of nuclei above each row of blocks."""
        return self.path / "numbers" / "offsets.npy"

    @property
    def oversized(self) -> Path:
        """Groups of pieces that form one oversized object."""
        return self.path / "numbers" / "oversized.json"

    def survey(self, row: int, column: int) -> Path:
        """Grey levels of a part of the image."""
        return self.path / "survey" / str(row) / f"{column}.bin"

    def block(self, row: int, column: int) -> Path:
        """Labels and keys of a block."""
        return self.path / "blocks" / str(row) / f"{column}.npz"

    def rows(self, row: int, column: int) -> Path:
        """Rows of a block in the nuclei table."""
        return self.path / "rows" / str(row) / f"{column}.parquet"

    def keys(self, row: int) -> Path:
        """All keys of a row of blocks, ascending."""
        return self.path / "numbers" / f"{row}.npy"

    def maps(self, grid: TileGrid, shape: tuple[int, int], outputs: int) -> Array:
        """Returns the array of probabilities (outputs, Y, X) uint8.

        Args:
            grid: tile geometry of the network.
            shape: (Y, X) of the image in the network's scale.
            outputs: number of maps.
        """
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
        """Removes everything derived from the probabilities."""
        for name in ("blocks", "rows", "numbers"):
            shutil.rmtree(self.path / name, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """Result of a block.

    Attributes:
        labels: (Y, X) uint32 of the block's core, 1..n.
        keys: (n,) int64, object key of each label; -1 for a piece of an oversized object.
        owned: (m,) int64, keys of the objects that begin in the core.
        boxes: (m, 4) int64, y0, x0, y1, x1 of these whole objects in the image.
        pieces: pieces of oversized objects, as plain values.
        micronuclei: number of objects that begin in the core and were left out as micronuclei.
    """

    labels: NDArray[np.uint32]
    keys: NDArray[np.int64]
    owned: NDArray[np.int64]
    boxes: NDArray[np.int64]
    pieces: list[dict[str, Any]]
    micronuclei: int


def write_block(
    path: Path,
    labels: NDArray[np.uint32],
    keys: NDArray[np.int64],
    owned: NDArray[np.int64],
    boxes: NDArray[np.int64],
    pieces: Sequence[Any],
    micronuclei: int,
) -> None:
    """Writes the result of a block.

    Args:
        path: the file; missing folders are created.
        labels: (Y, X) uint32.
        keys: (n,) int64.
        owned: (m,) int64.
        boxes: (m, 4) int64.
        pieces: dataclasses.
        micronuclei: their number.

    Raises:
        StoreError: the file cannot be written.
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
        boxes=boxes,
        micronuclei=np.array([micronuclei], np.int64),
        pieces=np.frombuffer(json.dumps([asdict(piece) for piece in pieces]).encode(), np.uint8),
    )
    _write(path, content.getbuffer())


def read_block(path: Path) -> StoredBlock:
    """Reads the result of a block.

    Raises:
        DamagedFile: the file is missing or damaged.
    """
    with _stored(path) as stored:
        height, width, itemsize = stored["shape"].tolist()
        narrow = np.uint16 if itemsize == 2 else np.uint32
        pixels = np.frombuffer(_ZSTD.decode(stored["labels"].tobytes()), narrow)
        return StoredBlock(
            pixels.reshape(height, width).astype(np.uint32),
            stored["keys"],
            stored["owned"],
            stored["boxes"],
            json.loads(stored["pieces"].tobytes()),
            int(stored["micronuclei"][0]),
        )


def read_owned(path: Path) -> tuple[NDArray[np.int64], list[dict[str, Any]]]:
    """Reads the keys of the objects that begin in a block, and its pieces of oversized ones, without pixels.

    Raises:
        DamagedFile: the file is missing or damaged.
    """
    with _stored(path) as stored:
        return stored["owned"], json.loads(stored["pieces"].tobytes())


def read_micronuclei(path: Path) -> int:
    """Reads the number of micronuclei that begin in a block.

    Raises:
        DamagedFile: the file is missing or damaged.
    """
    with _stored(path) as stored:
        return int(stored["micronuclei"][0])


def write_numbers(path: Path, numbers: NDArray[np.int64]) -> None:
    """Writes an array of integers (n,) int64.

    Raises:
        StoreError: the file cannot be written.
    """
    content = io.BytesIO()
    np.save(content, numbers)
    _write(path, _summed(content.getvalue()))


def read_numbers(path: Path) -> NDArray[np.int64]:
    """Reads an array of integers (n,) int64.

    Raises:
        DamagedFile: the file is missing or damaged.
    """
    try:
        return np.asarray(np.load(io.BytesIO(_unsummed(path)), allow_pickle=False), np.int64)
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path, error) from error


def write_values(path: Path, values: Any) -> None:
    """Writes plain values as JSON.

    Raises:
        StoreError: the file cannot be written.
    """
    _write(path, _summed(json.dumps(values).encode()))


def read_values(path: Path) -> Any:
    """Reads plain values.

    Raises:
        DamagedFile: the file is missing or damaged.
    """
    try:
        return json.loads(_unsummed(path))
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error


def write_parts(path: Path, parts: Sequence[bytes]) -> None:
    """Writes several byte strings into one file.

    Raises:
        StoreError: the file cannot be written.
    """
    lengths = np.array([len(parts), *(len(part) for part in parts)], "<i8")
    _write(path, _summed(lengths.tobytes() + b"".join(parts)))


def read_parts(path: Path) -> list[bytes]:
    """Reads the byte strings written by :func:`write_parts`.

    Raises:
        DamagedFile: the file is missing or damaged.
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
    """Opens a block's arrays; each is read and checked when it is accessed."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            yield stored
    # NumPy and zipfile raise EOFError and BadZipFile, the codec RuntimeError.
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, RuntimeError) as error:
        raise _damaged(path, error) from error


def _summed(content: bytes) -> memoryview:
    """Appends a line with the content's checksum."""
    return memoryview(content + b"\n%08x\n" % google_crc32c.value(content))


def _unsummed(path: Path) -> bytes:
    read = path.read_bytes()
    content, line = read[:-_SUM_BYTES], read[-_SUM_BYTES:]
    if line != b"\n%08x\n" % google_crc32c.value(content):
        raise ValueError(f"the checksum of its {len(read)} bytes does not match")
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
    """Returns a chunk side that divides the cores of all tiles, so that each file is written by one task.

    It is the largest of up to 512 px. If that is small, as for cores of a prime length, it is the core's own:
    chunks of a few pixels would be millions of files.
    """
    step = grid.step(length_px)
    if step >= length_px:
        return min(length_px, _LONGEST_CHUNK_PX)
    fitting = range(_LONGEST_CHUNK_PX, _SHORTEST_CHUNK_PX - 1, -1)
    return next((side for side in fitting if step % side == 0), step)
