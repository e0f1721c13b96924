"""One large image of real pixels, run with two block sizes: equal bytes, rate and peak memory.

    python -m benchmarks.bench_mosaic FOLDER [--pattern 'Channel2-*.tif'] [--side PX] [--block-size PX PX]

The images of FOLDER that match the pattern are tiled repeatedly to a mosaic of SIDE px, a tiled BigTIFF. Each
block size is a separate run through the command line. All results of both (masks, pyramids, tables) are
compared byte by byte.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import tifffile
from rich.console import Console
from rich.table import Table

TILE_PX = 512
ACCOUNTS = ("run.json", "report.html")  # of how a run went, with times in them


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pattern", default="*.tif")
    parser.add_argument("--side", type=int, default=20_480)
    parser.add_argument("--block-size", type=int, nargs="+", default=[2048, 1024])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--scratch", type=Path, help="working folder instead of the temporary folder")
    arguments = parser.parse_args()
    how = f"{arguments.workers} workers, {arguments.precision}"
    table = Table(title=f"{arguments.side:,} x {arguments.side:,} px, {how}")
    for column in (
        "blocks of, px",
        "seconds",
        "Mpx/s",
        "nuclei",
        "largest worker, MiB",
        "client, MiB",
        "SHA-256",
    ):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        picture = Path(scratch, "mosaic.tif")
        draw(picture, sorted(arguments.folder.rglob(arguments.pattern)), arguments.side)
        for block_px in arguments.block_size:
            out = Path(scratch, f"out{block_px}")
            seconds, worker, client = run(picture, out, block_px, arguments)
            digest, nuclei = hash_of(out), nuclei_of(out)
            table.add_row(
                str(block_px),
                f"{seconds:.0f}",
                f"{arguments.side**2 / 1e6 / seconds:.2f}",
                f"{nuclei:,}",
                f"{worker / 2**20:.0f}",
                f"{client / 2**20:.0f}",
                digest[:16],
            )
            shutil.rmtree(out)
    Console(width=120).print(table)


def draw(path: Path, pictures: list[Path], side_px: int) -> None:
    """Writes the mosaic tile by tile."""
    read = [tifffile.imread(picture) for picture in pictures]
    width = read[0].shape[1]
    across = -(-side_px // width)

    def bands() -> Iterator[np.ndarray]:
        waiting = np.zeros((0, across * width), read[0].dtype)
        row = 0
        for top in range(0, side_px, TILE_PX):
            while len(waiting) < min(TILE_PX, side_px - top):
                line = [read[(row * across + column) % len(read)] for column in range(across)]
                waiting, row = np.concatenate([waiting, np.concatenate(line, axis=1)]), row + 1
            band, waiting = waiting[:TILE_PX], waiting[TILE_PX:]
            band = band[: side_px - top, :side_px]
            for left in range(0, side_px, TILE_PX):
                piece = band[:, left : left + TILE_PX]
                yield np.pad(piece, [(0, TILE_PX - piece.shape[0]), (0, TILE_PX - piece.shape[1])])

    tifffile.imwrite(
        path,
        bands(),
        shape=(side_px, side_px),
        dtype=read[0].dtype,
        tile=(TILE_PX, TILE_PX),
        bigtiff=True,
        compression="zlib",
        photometric="minisblack",
    )


def run(picture: Path, out: Path, block_px: int, arguments: argparse.Namespace) -> tuple[float, int, int]:
    """Seconds of the whole command, and the peaks in bytes of its largest worker and of its client."""
    command = [sys.executable, "-m", "nucbatch", "run", str(picture), "-o", str(out)]
    command += ["--block-size", str(block_px), "--workers", str(arguments.workers)]
    command += ["--precision", arguments.precision]
    started = time.perf_counter()
    process = subprocess.Popen(command)
    peaks: dict[int, int] = {}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            for one in _family(process.pid):
                peaks[one.pid] = max(peaks.get(one.pid, 0), _resident(one))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    if process.wait():
        sys.exit(f"the run ended with {process.returncode}")
    seconds = time.perf_counter() - started
    over.set()
    watcher.join()
    client = peaks.pop(process.pid, 0)
    return seconds, max(peaks.values(), default=0), client


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def hash_of(out: Path) -> str:
    """Hash of the names and bytes of all results of a run, except its reports."""
    digest = hashlib.sha256()
    for path in sorted(out.rglob("*")):
        if path.is_file() and ".nucbatch" not in path.parts and path.name not in ACCOUNTS:
            digest.update(path.relative_to(out).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def nuclei_of(out: Path) -> int:
    """Number of rows of the nuclei table."""
    import pyarrow.parquet as pq

    return int(pq.read_metadata(out / "nuclei.parquet").num_rows)


if __name__ == "__main__":
    main()
