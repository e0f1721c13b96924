"""Cost of nucbatch's own Zarr and TIFF code beside the libraries that could do the same.

    python -m benchmarks.bench_formats

Writes and reads the same arrays and files with nucbatch and with zarr or tifffile, in turns, and prints the
median time of each with the ratio; for a TIFF of one large compressed strip, the peak memory of a process.
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
import zarr
from rich.console import Console
from rich.table import Table
from zarr.codecs import BloscCodec, ZstdCodec

from nucbatch.core.tiles import Box
from nucbatch.readers.formats import open_plane
from nucbatch.readers.formats.headers import read_header
from nucbatch.store.chunks import Array
from nucbatch.synthetic import make_field
from nucbatch.zarr_format import StoredArray

TIMES = 30
FIELD_PX = 1080
SMALL_PX = 256
STRIP_PX = 12_000


def main() -> None:
    table = Table("", "nucbatch", "library", "library / nucbatch", title="Median milliseconds, or MiB")
    with tempfile.TemporaryDirectory() as folder:
        for name, ours, theirs in [*zarr_pairs(Path(folder)), *tiff_pairs(Path(folder))]:
            one, other = in_turns(ours, theirs)
            table.add_row(name, f"{1e3 * one:.2f}", f"{1e3 * other:.2f}", f"{other / one:.1f}")
        strip = Path(folder, "strip.tif")
        noise = np.random.default_rng(0).integers(0, 4000, (STRIP_PX, STRIP_PX), np.uint16)
        tifffile.imwrite(strip, noise, compression="zlib", rowsperstrip=STRIP_PX)
        one, other = (peak_mib(way, strip) for way in ("ours", "theirs"))
        size = noise.nbytes / 2**20
        table.add_row(
            f"TIFF: 512 px of one deflate strip of {size:.0f} MiB, memory",
            f"{one:.0f}",
            f"{other:.0f}",
            f"{other / one:.1f}",
        )
    Console(width=120).print(table)


def in_turns(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Returns the median seconds of each, called alternately."""
    seconds: list[list[float]] = [[], []]
    for _ in range(TIMES):
        for call, kept in zip((ours, theirs), seconds, strict=True):
            began = time.perf_counter()
            call()
            kept.append(time.perf_counter() - began)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


Pair = tuple[str, Callable[[], object], Callable[[], object]]


def zarr_pairs(folder: Path) -> list[Pair]:
    """Arrays of one field and of small labels, with the same codecs and shards."""
    images, _ = make_field(FIELD_PX, np.random.default_rng(0), nuclei=200, channels=2)
    image = np.stack(images).astype(np.uint16)
    labels = np.zeros((SMALL_PX, SMALL_PX), np.uint32)
    labels[20:60, 20:60] = 1
    pairs: list[Pair] = []
    for name, pixels, codec in (("image of a field", image, "image"), ("small labels", labels, "labels")):
        axes = ("c", "y", "x")[-pixels.ndim :]
        own = Array.of_image(folder / f"own {name}", pixels.shape, pixels.dtype, codec, axes)
        own.describe()
        compressor = (
            BloscCodec(cname="zstd", clevel=1, shuffle="shuffle", blocksize=2**20)
            if codec == "image"
            else ZstdCodec(checksum=True)
        )
        theirs = zarr.create_array(
            folder / f"zarr {name}",
            shape=pixels.shape,
            dtype=pixels.dtype,
            chunks=own.chunks,
            shards=tuple(n * length for n, length in zip(own.grid, own.chunks, strict=True)),
            compressors=compressor,
        )

        def write_theirs(theirs: zarr.Array = theirs, pixels: np.ndarray = pixels) -> None:
            theirs[...] = pixels

        box = Box(0, 0, *pixels.shape[-2:])
        stored = StoredArray(folder / f"zarr {name}")
        begin, end = (0,) * pixels.ndim, pixels.shape
        pairs += [
            (f"Zarr: write {name}", lambda own=own, pixels=pixels: own.write(pixels), write_theirs),
            (f"Zarr: read {name}", lambda own=own, box=box: own.read(box), lambda theirs=theirs: theirs[...]),
            (
                f"Zarr, any writer's: read {name}, checked",
                lambda stored=stored, begin=begin, end=end: stored.read(begin, end),
                lambda theirs=theirs: theirs[...],
            ),
        ]
    return pairs


def tiff_pairs(folder: Path) -> list[Pair]:
    """Header and a box of a camera's uncompressed image, and of a tiled one."""
    pixels = np.random.default_rng(0).integers(0, 4000, (2160, 2160), np.uint16)
    plain, tiled = folder / "plain.tif", folder / "tiled.tif"
    tifffile.imwrite(plain, pixels)
    tifffile.imwrite(tiled, pixels, tile=(256, 256), compression="zlib")
    box = Box(500, 500, 1012, 1012)

    def ours(path: Path) -> np.ndarray:
        with open_plane(path) as plane:
            return plane.read(box)

    def header(path: Path) -> tuple[int, ...]:
        with tifffile.TiffFile(path) as file:
            return file.series[0].shape

    return [
        ("TIFF: header, checked", lambda: read_header(plain), lambda: header(plain)),
        (
            "TIFF: 512 px of uncompressed strips",
            lambda: ours(plain),
            lambda: tifffile.imread(plain)[box.slices],
        ),
        ("TIFF: 512 px of deflate tiles", lambda: ours(tiled), lambda: tifffile.imread(tiled)[box.slices]),
    ]


def peak_mib(way: str, path: Path) -> float:
    """Returns the peak memory of a process that reads 512 px of a file, libraries included."""
    command = [sys.executable, "-m", "benchmarks.bench_formats", way, str(path)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def read_and_print_peak(way: str, path: Path) -> None:
    from nucbatch.readers.formats import convert_once

    box = Box(500, 500, 1012, 1012)
    if way == "ours":
        copies = Path(tempfile.mkdtemp())
        copy = convert_once(path, copies, lambda *progress: None)
        with open_plane(copy) as plane:
            plane.read(box)
        shutil.rmtree(copies)
    else:
        tifffile.imread(path)[box.slices]
    # Not getrusage's peak, which includes that of the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    print(int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        read_and_print_peak(sys.argv[1], Path(sys.argv[2]))
    else:
        main()
