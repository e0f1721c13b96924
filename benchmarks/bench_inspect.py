"""Time and memory of ``nucbatch inspect`` per file, for folders with many small files, step by step.

    python -m benchmarks.bench_inspect                    # 10,000, 50,000 and 100,000 files
    python -m benchmarks.bench_inspect --layout folder 20000
    python -m benchmarks.bench_inspect --generated 10000 100000 1000000   # names alone, without files

The files are small TIFFs (``--folder /dev/shm`` makes them in memory), measured right after they are made, so
that reading them doesn't wait for a disk. The same process scans the folder and stats each file just before,
for comparison. Times are CPU times and, in brackets, wall times. No value per file should grow with the
number of files.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from rich.console import Console
from rich.table import Table

from nucbatch.core.plate_geometry import row_letters, well_name
from nucbatch.readers.contract import ReadOptions
from nucbatch.readers.find import known_readers
from nucbatch.readers.layouts.companions import without_companions
from nucbatch.readers.listing import FoundFile, Listing, scan
from nucbatch.readers.plate_cache import fingerprint
from nucbatch.readers.plate_summary import summarise
from nucbatch.readers.verify_headers import verified

_HARMONY = "r{:02d}c{:02d}f{:02d}p01-ch{}sk{}fk1fl1.tiff"
_PER_TIME = 1536 * 8  # files of one time point
NAMES = {
    "names": lambda number: f"run_{well(number // 8)}f{number % 8 // 2:02d}d{number % 2}.TIF",
    "imagexpress": lambda number: f"p_{well(number // 8)}_s{number % 8 // 2 + 1}_w{number % 2 + 1}.tif",
    "harmony": lambda number: _HARMONY.format(
        number // 8 % 1536 // 48 + 1,
        number // 8 % 48 + 1,
        number % 8 // 2 + 1,
        number % 2 + 1,
        number // _PER_TIME + 1,
    ),
    "pattern": lambda number: f"{well(number // 8)}_s{number % 8 // 2 + 1}_c{number % 2 + 1}.tif",
    "folder": lambda number: f"picture {number:06d}.tif",
}
STEPS = ("bare scandir and stat", "listing", "names", "headers", "summary")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", type=int, nargs="*", default=[10_000, 50_000, 100_000])
    parser.add_argument("--layout", choices=NAMES, default="pattern", help="naming scheme of the files")
    parser.add_argument("--folder", type=Path, help="folder for the files [default: a temporary folder]")
    parser.add_argument("--generated", action="store_true", help="generate names instead of writing files")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(measure(asked.measure)))
        return
    if asked.generated:
        show_generated(asked.files, asked.layout)
        return
    table = Table(
        "files", *STEPS, "in all", "times the bare scan", "memory", title="ms per file: processor (clock)"
    )
    with tempfile.TemporaryDirectory(dir=asked.folder) as scratch:
        for files in asked.files:
            folder = Path(scratch, str(files))
            make(folder, files, asked.layout)
            command = [sys.executable, "-m", "benchmarks.bench_inspect", "--measure", str(folder)]
            figures = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            cpu, clock = figures["cpu"], figures["clock"]
            each = [f"{1000 * cpu[step] / files:.3f} ({1000 * clock[step] / files:.3f})" for step in STEPS]
            total = sum(cpu[step] for step in STEPS[1:])
            table.add_row(
                f"{files:,}",
                *each,
                f"{1000 * total / files:.3f} ({1000 * sum(clock[step] for step in STEPS[1:]) / files:.3f})",
                f"{total / cpu[STEPS[0]]:.0f}",
                f"{figures['bytes'] / files / 1024:.2f} KiB a file",
            )
    Console(width=160).print(table)


def show_generated(counts: list[int], layout: str) -> None:
    """Prints CPU time and memory per file for names alone, each count in a process of its own."""
    table = Table("names", "recognise", "read", "memory", title=f"{layout}: names alone")
    for count in counts:
        code = f"from benchmarks.bench_inspect import generated; generated({count}, {layout!r})"
        command = [sys.executable, "-c", code]
        figures = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        table.add_row(
            f"{count:,}",
            f"{1e6 * figures['recognise'] / count:.1f} µs a file",
            f"{1e6 * figures['read'] / count:.1f} µs a file",
            f"{figures['bytes'] / count / 1024:.2f} KiB a file",
        )
    Console(width=120).print(table)


def generated(count: int, layout: str) -> None:
    """Prints, as JSON, seconds of recognising and reading, and bytes of the listing and the plate."""
    readers = known_readers()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    files = (FoundFile(folder_of(number, layout) + NAMES[layout](number)) for number in range(count))
    listing = Listing("/nowhere", "plate", tuple(sorted(files)))
    began = time.process_time()
    chosen = without_companions(listing)
    reader = next(reader for reader in readers if reader.recognise(chosen))
    recognised = time.process_time()
    plate = reader.read(chosen, ReadOptions(layout=reader.name))
    done = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if len(plate.files) != count:
        raise SystemExit(f"{len(plate.files)} of {count} files are accounted for")
    measured = {"recognise": recognised - began, "read": done - recognised, "bytes": (peak - before) * 1024}
    print(json.dumps(measured))


def well(number: int) -> str:
    """The wells of a 1536-well plate, row by row, repeated."""
    row, column = divmod(number % 1536, 48)
    return well_name(row_letters(row), column + 1)


def folder_of(number: int, layout: str) -> str:
    """Folder of a file, because a plate has few wells: one for each time point, if names don't tell it."""
    return "" if layout in ("folder", "harmony") else f"TimePoint_{number // _PER_TIME + 1}/"


def make(folder: Path, files: int, layout: str) -> None:
    """Writes small TIFFs.

    Those with well names in one folder per time point, because a plate has few wells.
    """
    folder.mkdir(parents=True)
    tifffile.imwrite(folder / "first", np.zeros((8, 8), np.uint16))
    pixels = (folder / "first").read_bytes()
    (folder / "first").unlink()
    for number in range(files):
        below = folder / folder_of(number, layout)
        below.mkdir(exist_ok=True)
        (below / NAMES[layout](number)).write_bytes(pixels)


def measure(folder: Path) -> dict[str, Any]:
    """Seconds of each step in this process, and its peak memory in bytes."""
    cpu: dict[str, float] = {}
    clock: dict[str, float] = {}

    def timed(step: str, do: Callable[[], Any]) -> Any:
        began, began_cpu = time.perf_counter(), time.process_time()
        result = do()
        cpu[step] = cpu.get(step, 0.0) + time.process_time() - began_cpu
        clock[step] = clock.get(step, 0.0) + time.perf_counter() - began
        return result

    readers = known_readers()
    bare(folder)
    timed("bare scandir and stat", lambda: bare(folder))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    listing = timed("listing", lambda: scan(folder))

    def by_names() -> Any:
        chosen = without_companions(listing)
        fingerprint(chosen)
        reader = next(reader for reader in readers if reader.recognise(chosen))
        return reader.read(chosen, ReadOptions())

    plate = timed("names", by_names)
    plate = timed("headers", lambda: verified(plate))
    timed("summary", lambda: json.dumps(summarise(plate).as_dict()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"cpu": cpu, "clock": clock, "bytes": (peak - before) * 1024}


def bare(folder: Path) -> int:
    """Bytes of all files below the folder, by scandir and stat alone."""
    total = 0
    waiting = [str(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    total += entry.stat(follow_symlinks=False).st_size
    return total


if __name__ == "__main__":
    main()
