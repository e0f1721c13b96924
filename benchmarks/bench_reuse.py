"""Other thresholds from kept probabilities, beside the whole run: CPU time, and the size of what is kept.

CPU time of all processes is compared, start-up included, so that other work on the machine does not matter.

python -m benchmarks.bench_reuse                                   # 24 drawn fields of 1,080 px
python -m benchmarks.bench_reuse shared/data/plates/sbs96 --channel Channel2
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from nucbatch.store.run_folder import RunFolder
from nucbatch.store.run_status import read_status
from nucbatch.synthetic import make_plate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("plate", type=Path, nargs="?", help="an input; drawn without one")
    parser.add_argument("--channel", default="DAPI", help="channel with the nuclei")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        plate = asked.plate
        if plate is None:
            wells = [f"{row}{column:02d}" for row in "BCD" for column in range(2, 10)]
            plate = make_plate(Path(scratch, "plate"), wells=wells, sites=1, size_px=1080).plate_folder
        common = ["nucbatch", "run", str(plate), "--channel", asked.channel]
        kept = RunFolder(Path(scratch, "kept"))
        columns = "whole run", "keeping", "reusing", "ratio", "kept"
        seconds = [
            timed([*common, "-o", str(Path(scratch, "plain"))]),
            timed([*common, "-o", str(kept.path), "--keep-probabilities"]),
            timed([*common, "-o", str(kept.path), "--reuse-probabilities", "--foreground", "0.6"]),
        ]
        size = sum(path.stat().st_size for path in kept.probabilities.rglob("*.maps"))
        fields = pd.read_parquet(kept.fields)
        pixels = (fields["Height_px"] * fields["Width_px"])[fields["Status"] == "done"].sum()
        table = Table(*columns, title=f"{read_status(kept.path).done} fields, {pixels / 1e6:.0f} Mpx")
        table.add_row(
            *(f"{cpu:.0f} s CPU, {wall:.0f} s" for cpu, wall in seconds),
            f"{seconds[0][0] / seconds[2][0]:.1f}",
            f"{size / pixels:.2f} MB/Mpx",
        )
        Console().print(table)


def timed(command: list[str]) -> tuple[float, float]:
    """Runs a command, and returns the CPU time of all its processes and its duration, in seconds."""
    began, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, "-m", *command], check=False, stdout=subprocess.DEVNULL)
    used = os.times()
    cpu_s = used.children_user + used.children_system - before.children_user - before.children_system
    return cpu_s, time.perf_counter() - began


if __name__ == "__main__":
    main()
