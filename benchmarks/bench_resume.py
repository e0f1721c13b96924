"""Time from the command to the first new field, when a run with many finished fields is resumed.

    python -m benchmarks.bench_resume                # 1,000 and 100,000 fields
    python -m benchmarks.bench_resume 10000

A plate of tiny fields is made by linking one file under many names, and so is a run's folder in which all
fields but a few are committed. The command is timed to the first field that it commits, and compared with a
run of only those few fields, which is the start-up time. That in turn is compared with a bare ``import torch,
dask.distributed, zarr`` in a new process. Next to it stands the driver's own CPU time until then, which other
work on the machine doesn't lengthen.

Workers meanwhile compare finished results with their receipts. That is timed separately, on one thread, and
compared with scandir and stat of the same tree.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import shutil
import signal
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

from nucbatch.core.plate_geometry import row_letters, well_name
from nucbatch.execution.check import TOGETHER, CheckTask
from nucbatch.readers.find import open_plate
from nucbatch.store.ledger import latest_receipts
from nucbatch.store.receipt import field_digest, line_of
from nucbatch.store.run_folder import RunFolder

NEW = 8
SITES = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "fields", type=int, nargs="*", default=[1_000, 100_000], help="numbers of committed fields"
    )
    asked = parser.parse_args()
    columns = (
        "first new field after",
        "of a bare import",
        "of none committed",
        "driver's CPU time",
        "of none committed",
        "most memory of the driver",
        "look at all",
        "bare scandir and stat",
        "ratio",
    )
    table = Table("committed before", *columns, title="Resuming")
    none: tuple[float, float] | None = None
    with tempfile.TemporaryDirectory() as scratch:
        for fields in (0, *asked.fields):
            place = Path(scratch, str(fields))
            place.mkdir()
            before_s = bare_import()
            seconds, cpu_s, peak_bytes = measure(place, fields)
            bare_s = (before_s + bare_import()) / 2  # a machine's speed drifts
            none = none or (seconds, cpu_s)
            look_s, stat_s = looks(place) if fields else (0.0, 0.0)
            looked = (
                (f"{look_s:.1f} s", f"{stat_s:.1f} s", f"{look_s / stat_s:.2f}") if fields else ("", "", "")
            )
            table.add_row(
                f"{fields:,}",
                f"{seconds:.1f} s",
                f"{seconds / bare_s:.2f}",
                f"{seconds / none[0]:.2f}",
                f"{cpu_s:.1f} s",
                f"{cpu_s / none[1]:.2f}",
                f"{peak_bytes / 2**20:.0f} MiB",
                *looked,
            )
            shutil.rmtree(place)
    Console(width=150).print(table)


def bare_import() -> float:
    """Seconds of a new process that imports the libraries that every worker needs."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch, dask.distributed, zarr"], check=True)
    return time.perf_counter() - began


def measure(place: Path, fields: int) -> tuple[float, float, int]:
    """Seconds to the first new field; CPU seconds and peak bytes of the driver until then."""
    plate, folder = place / "plate", RunFolder(place / "out")
    plate.mkdir()
    image = plate / name(0)
    tifffile.imwrite(image, np.zeros((32, 32), np.uint16))
    for number in range(1, fields + NEW):
        link(image, plate / name(number))
    if fields:
        commit(plate, folder, fields)
    before = max(1, lines(folder))  # the first line is the header
    began = time.perf_counter()
    driver = subprocess.Popen(command(plate, folder), stdout=subprocess.DEVNULL, start_new_session=True)
    peak_bytes = 0
    while lines(folder) <= before:
        if driver.poll() is not None:
            raise RuntimeError(f"the run ended with {driver.returncode} before it did anything")
        peak_bytes = max(peak_bytes, resident(driver.pid))
        time.sleep(0.02)
    seconds, used = time.perf_counter() - began, psutil.Process(driver.pid).cpu_times()
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    return seconds, used.user + used.system, peak_bytes


def looks(place: Path) -> tuple[float, float]:
    """Seconds to compare all committed results, and to list and stat the same tree; best of three."""
    folder = RunFolder(place / "out")
    read = open_plate(place / "plate", remembered=folder.plate)
    held = latest_receipts(folder)
    done = [(field, held[field.key]) for field in read.fields if field.key in held]
    tasks = [
        CheckTask(folder, True, tuple(done[begin : begin + TOGETHER]))
        for begin in range(0, len(done), TOGETHER)
    ]
    look_s, bare_s = [], []
    for _ in range(3):
        began = time.perf_counter()
        stat_all(folder.plate_zarr)
        stat_all(folder.fragments)
        bare_s.append(time.perf_counter() - began)
        began = time.perf_counter()
        if any(task.run().wrong for task in tasks):
            raise RuntimeError("committed work does not pass its check")
        look_s.append(time.perf_counter() - began)
    return min(look_s), min(bare_s)


def stat_all(folder: Path | str) -> None:
    """Lists a tree and stats every file."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                stat_all(entry.path)
            else:
                entry.stat()


def commit(plate: Path, folder: RunFolder, fields: int) -> None:
    """Runs the first fields, makes links to one of them for all others, and leaves the last few undone."""
    driver = subprocess.Popen(command(plate, folder), stdout=subprocess.DEVNULL, start_new_session=True)
    while lines(folder) < 2:
        if driver.poll() is not None:
            raise RuntimeError(f"the run ended with {driver.returncode} before it did anything")
        time.sleep(0.02)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    header, line = folder.ledger.read_bytes().splitlines(keepends=True)[:2]
    receipt = json.loads(line)
    del receipt["crc"]
    group, fragment = folder.plate_zarr / receipt["field"], folder.fragment(receipt["field"])
    read = open_plate(plate, remembered=folder.plate)
    with folder.ledger.open("wb") as ledger:
        ledger.write(header)
        for field in read.fields[:fields]:
            target = folder.fragment(field.key)
            ledger.write(line_of(receipt | {"field": field.key, "source": field_digest(field)}))
            if field.key == receipt["field"]:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            link(fragment, target)
            shutil.rmtree(folder.plate_zarr / field.key, ignore_errors=True)
            shutil.copytree(group, folder.plate_zarr / field.key, copy_function=link)


def link(source: str | Path, target: str | Path) -> None:
    """Makes another name for a file; a copy, if the file has the largest possible number of links."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno != errno.EMLINK:
            raise
        shutil.copy2(source, target)


def name(number: int, sites: int = SITES) -> str:
    """File name, well and site of a plate with so many sites a well."""
    well, site = divmod(number, sites)
    return f"p_{well_name(row_letters(well // 24), well % 24 + 1)}_s{site + 1}_w1.tif"


def command(plate: Path, folder: RunFolder) -> list[str]:
    """The command that is timed."""
    return [sys.executable, "-m", "nucbatch", "run", str(plate), "-o", str(folder.path), "--workers", "2"]


def lines(folder: RunFolder) -> int:
    """Number of lines in the ledger."""
    return folder.ledger.read_bytes().count(b"\n") if folder.ledger.exists() else 0


def resident(pid: int) -> int:
    """Bytes of resident memory of a process; 0 if it has ended."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
