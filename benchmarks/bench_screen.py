"""Cost of a screen's plates: many small plates beside few large ones with as many fields.

    python -m benchmarks.bench_screen [40x10 1x400 ...] [--side 96] [--at-once 1] [--labels zarr]

Each screen is PLATESxFIELDS. All fields are hard links to a few small pictures and the method is Otsu's, in
the place of a network, so that little but the cost of plates and fields is left: CPU time of all processes,
and the peak memory of the screen's own process and of the largest of the processes that drive a plate. Each
tenth of the plates prints a line when it is done, so that growth can be seen before the end.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import tifffile
from rich.console import Console
from rich.table import Table

from nucbatch.synthetic.field import make_field

_COLUMNS, _WELLS = 24, 384
_PICTURES = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("screens", nargs="*", default=["40x10", "1x400"])
    parser.add_argument("--side", type=int, default=96, help="of a field in px")
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--labels", choices=["zarr", "tiff"], default="zarr")
    asked = parser.parse_args()
    table = Table(title=f"A screen's CPU time with a stand-in network, --labels {asked.labels}")
    columns = (
        "plates",
        "fields of each",
        "CPU s",
        "s",
        "CPU s/plate",
        "CPU ms/field",
        "screen, MiB",
        "driver, MiB",
    )
    for column in columns:
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory(prefix="bench-screen-") as folder:
        warm = Path(folder, "warm")
        write(warm, 1, 2, asked.side)
        run(warm, Path(folder, "warm-out"), asked.at_once, asked.labels)  # compiles the kernels
        for screen in asked.screens:
            plates, fields = map(int, screen.split("x"))
            write(Path(folder, screen), plates, fields, asked.side)
            out = Path(folder, f"{screen}-out")
            cpu_s, seconds, peaks = run(Path(folder, screen), out, asked.at_once, asked.labels)
            figures = (
                f"{plates:,}",
                f"{fields:,}",
                f"{cpu_s:.1f}",
                f"{seconds:.1f}",
                f"{cpu_s / plates:.2f}",
                f"{1000 * cpu_s / plates / fields:.1f}",
                *(f"{peak / 2**20:.0f}" for peak in peaks),
            )
            print(*figures, sep=" | ", flush=True)
            table.add_row(*figures)
            shutil.rmtree(out)
    Console().print(table)


def write(screen: Path, plates: int, fields: int, side_px: int) -> None:
    """Writes plates of the same few pictures."""
    picture = make_field(side_px, np.random.default_rng(0), nuclei=3)[0][0]
    pictures = [screen.parent / f"{screen.name}-{number}.tif" for number in range(_PICTURES)]
    for number, path in enumerate(pictures):
        tifffile.imwrite(path, np.roll(picture, 5 * number, 0))
    for number in range(plates):
        plate = screen / f"p{number:04d}"
        plate.mkdir(parents=True)
        for field in range(fields):
            well, site = field % _WELLS, field // _WELLS + 1
            name = f"{'ABCDEFGHIJKLMNOP'[well // _COLUMNS]}{well % _COLUMNS + 1:02d}_s{site}_DAPI.tif"
            target = pictures[field % _PICTURES]
            try:
                os.link(target, plate / name)
            except OSError:  # too many links
                shutil.copyfile(target, plate / name)


def run(screen: Path, out: Path, at_once: int, labels: str) -> tuple[float, float, tuple[int, int]]:
    """Runs a screen.

    Returns:
        CPU time (s), time (s), and the peak memory (bytes) of the screen's process and of a plate's driver.
    """
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "nucbatch", "screen", str(screen), "-o", str(out), "--quiet"]
    command += ["--model", "otsu-watershed", "--workers", "1", "--at-once", str(at_once), "--labels", labels]
    done = psutil.Popen(command, stdout=subprocess.DEVNULL)
    own = drivers = shown = 0
    step = max(1, sum(1 for _ in screen.iterdir()) // 10)
    while done.poll() is None:
        own = max(own, _memory(done))
        drivers = max([drivers, *(_memory(child) for child in _children(done))])
        plates = sum(1 for _ in out.glob("*/report.html"))
        if plates >= shown + step:
            shown = plates
            memory = f"{own / 2**20:.0f} and {drivers / 2**20:.0f} MiB"
            print(f"{plates:,} plates: {_cpu_s(done):.1f} s of CPU time, {memory}", flush=True)
        time.sleep(1)
    assert done.returncode == 0, done.returncode
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu_s, time.perf_counter() - began, (own, drivers)


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children()
    except psutil.NoSuchProcess:
        return []


def _cpu_s(process: psutil.Process) -> float:
    """Returns the CPU time of a process and of all below it so far."""
    total = 0.0
    try:
        for one in (process, *process.children(recursive=True)):
            times = one.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    except psutil.NoSuchProcess:
        return total
    return total


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


if __name__ == "__main__":
    main()
