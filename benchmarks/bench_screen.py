"""Cost of a screen's plates: many small plates beside few large ones with as many fields.

    python -m benchmarks.bench_screen [--plates 40 --fields 10] [--large 1 --large-fields 400] [--at-once 1]

All fields are the same small picture and the method is Otsu's, in the place of a network, so that little but
the cost of plates and fields is left: CPU time of all processes, and the peak memory of the screen's own one.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile
from rich.console import Console
from rich.table import Table

from nucbatch.synthetic.field import make_field

_COLUMNS, _WELLS = 24, 384


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plates", type=int, default=40)
    parser.add_argument("--fields", type=int, default=10)
    parser.add_argument("--large", type=int, default=1)
    parser.add_argument("--large-fields", type=int, default=400)
    parser.add_argument("--at-once", type=int, default=1)
    asked = parser.parse_args()
    table = Table(title="A screen's CPU time with a stand-in network")
    for column in ("plates", "fields of each", "CPU s", "s", "CPU s/plate", "CPU ms/field", "driver, MiB"):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory(prefix="bench-screen-") as folder:
        warm = Path(folder, "warm")
        write(warm, 1, 2)
        run(warm, Path(folder, "warm-out"), asked.at_once)  # compiles the kernels
        for plates, fields in ((asked.plates, asked.fields), (asked.large, asked.large_fields)):
            screen = Path(folder, f"{plates}x{fields}")
            write(screen, plates, fields)
            cpu_s, seconds, peak = run(screen, Path(folder, f"{plates}x{fields}-out"), asked.at_once)
            table.add_row(
                f"{plates:,}",
                f"{fields:,}",
                f"{cpu_s:.1f}",
                f"{seconds:.1f}",
                f"{cpu_s / plates:.2f}",
                f"{1000 * cpu_s / plates / fields:.0f}",
                f"{peak / 2**20:.0f}",
            )
    Console().print(table)


def write(screen: Path, plates: int, fields: int) -> None:
    """Writes plates of the same small picture."""
    picture = make_field(96, np.random.default_rng(0), nuclei=3)[0][0]
    for number in range(plates):
        plate = screen / f"p{number:04d}"
        plate.mkdir(parents=True)
        for field in range(fields):
            well, site = field % _WELLS, field // _WELLS + 1
            name = f"{'ABCDEFGHIJKLMNOP'[well // _COLUMNS]}{well % _COLUMNS + 1:02d}_s{site}_DAPI.tif"
            tifffile.imwrite(plate / name, np.roll(picture, field % 90, 0))


def run(screen: Path, out: Path, at_once: int) -> tuple[float, float, int]:
    """Runs a screen and returns its CPU time (s), time (s) and the largest memory of one process (bytes)."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "nucbatch", "screen", str(screen), "-o", str(out), "--quiet"]
    command += ["--model", "otsu-watershed", "--workers", "1", "--at-once", str(at_once)]
    done = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    while done.poll() is None:
        peak = max(peak, _memory(done.pid))
        time.sleep(0.2)
    assert done.returncode == 0, done.returncode
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu_s, time.perf_counter() - began, peak


def _memory(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
    except (FileNotFoundError, IndexError, ProcessLookupError):
        return 0


if __name__ == "__main__":
    main()
