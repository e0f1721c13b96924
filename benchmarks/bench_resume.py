"""How long a run that was begun takes from the command to its first new field, when much is done already.

    python -m benchmarks.bench_resume                # 1,000 and 100,000 fields
    python -m benchmarks.bench_resume 10000

A plate of tiny fields is made by linking one file under many names, and a run's folder in which all but a
few are committed, likewise. The same command is then timed: to its first line ("... are done already") and to
the first field that it commits. Beside it stands what a run of only those few fields takes: the start itself.
"""

from __future__ import annotations

import argparse
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
import tifffile
from rich.console import Console
from rich.table import Table

from nucbatch.store.folder import RunFolder

NEW = 8
SITES = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("fields", type=int, nargs="*", default=[1_000, 100_000], help="committed already")
    asked = parser.parse_args()
    table = Table("committed before", "first new field after", "most memory of the driver", title="Resuming")
    with tempfile.TemporaryDirectory() as scratch:
        for fields in (0, *asked.fields):
            place = Path(scratch, str(fields))
            place.mkdir()
            seconds, peak_bytes = measure(place, fields)
            table.add_row(f"{fields:,}", f"{seconds:.1f} s", f"{peak_bytes / 2**20:.0f} MiB")
            shutil.rmtree(place)
    Console().print(table)


def measure(place: Path, fields: int) -> tuple[float, int]:
    """Seconds to the first new field, and peak bytes of the driver until then."""
    plate, folder = place / "plate", RunFolder(place / "out")
    plate.mkdir()
    image = plate / name(0)
    tifffile.imwrite(image, np.zeros((32, 32), np.uint16))
    for number in range(1, fields + NEW):
        (plate / name(number)).hardlink_to(image)
    if fields:
        commit(plate, folder, fields)
    before = lines(folder)
    began = time.perf_counter()
    driver = subprocess.Popen(command(plate, folder), stdout=subprocess.DEVNULL, start_new_session=True)
    peak_bytes = 0
    while lines(folder) <= before:
        if driver.poll() is not None:
            raise RuntimeError(f"the run ended with {driver.returncode} before it did anything")
        peak_bytes = max(peak_bytes, resident(driver.pid))
        time.sleep(0.02)
    seconds = time.perf_counter() - began
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    return seconds, peak_bytes


def commit(plate: Path, folder: RunFolder, fields: int) -> None:
    """Lets one field be done, and has that stand for all of them but the last few."""
    rest = plate.with_name("rest")
    rest.mkdir()
    for number in range(1, fields + NEW):  # out of sight, so that the one field alone is done
        (plate / name(number)).rename(rest / name(number))
    subprocess.run(command(plate, folder), check=True, stdout=subprocess.DEVNULL)
    header, line = folder.ledger.read_text().splitlines()
    receipt = json.loads(line)
    group, fragment = folder.plate_zarr / receipt["field"], folder.path / receipt["fragment"]
    for path in rest.iterdir():
        path.rename(plate / path.name)
    shutil.move(folder.path, plate.with_name("one"))
    # The header says which input it is of: begun with all fields, and stopped at once.
    driver = subprocess.Popen(command(plate, folder), stdout=subprocess.DEVNULL, start_new_session=True)
    while not lines(folder):
        time.sleep(0.02)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    one = RunFolder(plate.with_name("one"))
    group = one.plate_zarr / receipt["field"]
    fragment = one.path / receipt["fragment"]
    header = folder.ledger.read_text().splitlines()[0]
    with folder.ledger.open("w") as ledger:
        ledger.write(header + "\n")
        for number in range(fields):
            key = field_key(number)
            target = folder.fragment(key)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            target.hardlink_to(fragment)
            shutil.copytree(group, folder.plate_zarr / key, copy_function=os.link, dirs_exist_ok=True)
            changed = receipt | {"field": key, "fragment": target.relative_to(folder.path).as_posix()}
            ledger.write(json.dumps(changed, separators=(",", ":")) + "\n")


def name(number: int) -> str:
    """A file's name, well and site of a plate with 300 sites a well."""
    well, site = divmod(number, SITES)
    return f"p_{chr(ord('A') + well // 24)}{well % 24 + 1:02}_s{site + 1}_w1.tif"


def field_key(number: int) -> str:
    """The key of its field."""
    well, site = divmod(number, SITES)
    return f"{chr(ord('A') + well // 24)}/{well % 24 + 1}/{site + 1}"


def command(plate: Path, folder: RunFolder) -> list[str]:
    """What is timed."""
    return [sys.executable, "-m", "nucbatch", "run", str(plate), "-o", str(folder.path), "--workers", "2"]


def lines(folder: RunFolder) -> int:
    """Lines of the ledger."""
    return folder.ledger.read_bytes().count(b"\n") if folder.ledger.exists() else 0


def resident(pid: int) -> int:
    """Bytes of memory that a process has; 0 when it is gone."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
