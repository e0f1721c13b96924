"""Counts of a picture cut into overlapping fields, compared with those of the whole picture.

    python -m benchmarks.bench_overlaps FOLDER [--pattern 'Channel2-*.tif'] [--side PX] [--errors PX ...]

The images of FOLDER that match the pattern are tiled to a picture of SIDE px. It is segmented as a whole, and
cut into 3 x 3 fields of an ImageXpress plate, of which each misses its recorded position by up to an error.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
from rich.console import Console
from rich.table import Table

from benchmarks.bench_mosaic import draw, nuclei_of
from nucbatch.synthetic.overlapping_fields import write_fields


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pattern", default="*.tif")
    parser.add_argument("--side", type=int, default=1920)
    parser.add_argument("--overlap", type=float, default=0.1)
    parser.add_argument("--errors", type=int, nargs="+", default=[0, 5, 10])
    arguments = parser.parse_args()
    table = Table(
        title=f"3 x 3 fields of a picture of {arguments.side:,} px, overlap {arguments.overlap:.0%}"
    )
    for column in ("", "nuclei in all fields", "counted", "of the whole picture's", "flags"):
        table.add_column(column, justify="right" if column else "left")
    with tempfile.TemporaryDirectory() as scratch:
        picture = Path(scratch, "whole.tif")
        draw(picture, sorted(arguments.folder.rglob(arguments.pattern)), arguments.side)
        run(picture, Path(scratch, "whole"))
        whole = nuclei_of(Path(scratch, "whole"))
        table.add_row("the whole picture", f"{whole:,}", f"{whole:,}", "1.000", "")
        pixels = tifffile.imread(picture)
        for error in arguments.errors:
            rng = np.random.default_rng(error)
            missed = {site: tuple(rng.integers(-error, error + 1, 2).tolist()) for site in range(1, 10)}
            plate, out = Path(scratch, f"plate{error}"), Path(scratch, f"out{error}")
            write_fields(plate, pixels, overlap=arguments.overlap, error_px=missed)
            run(plate, out)
            well = pd.read_csv(out / "wells.csv", keep_default_na=False).iloc[0]
            counted = int(well["Count_Nuclei"])
            name = f"fields, positions off by up to {error} px"
            seen = int(well["Count_Nuclei_Seen"])
            table.add_row(name, f"{seen:,}", f"{counted:,}", f"{counted / whole:.3f}", str(well["Flags"]))
    Console(width=120).print(table)


def run(source: Path, out: Path) -> None:
    command = [sys.executable, "-m", "nucbatch", "run", str(source), "-o", str(out), "--quiet"]
    if subprocess.run(command, check=False).returncode:
        sys.exit(f"{' '.join(command)} failed")


if __name__ == "__main__":
    main()
