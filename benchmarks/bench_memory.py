"""Peak memory of one field's task against what the plan projects for it, for growing fields.

    python -m benchmarks.bench_memory [SIDE_PX ...]

Each field runs in a process of its own, the whole way from its file to its committed labels.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

SIDES_PX = [256, 512, 1024, 2048, 4096]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sides", type=int, nargs="*", default=SIDES_PX)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(*measure(arguments.one))
        return
    table = Table(title="One field of one 16-bit channel, default model")
    for column in ("side, px", "peak, MiB", "projected, MiB", "peak / projected"):
        table.add_column(column, justify="right")
    for side in arguments.sides:
        with tempfile.TemporaryDirectory() as scratch:
            draw(Path(scratch), side)
            child = [sys.executable, "-m", "benchmarks.bench_memory", "--one", scratch]
            out = subprocess.run(child, check=True, capture_output=True, text=True).stdout
        peak, projected = (int(number) for number in out.split())
        table.add_row(str(side), f"{peak / 2**20:.0f}", f"{projected / 2**20:.0f}", f"{peak / projected:.2f}")
    Console().print(table)


def draw(folder: Path, side_px: int) -> None:
    """One TIFF of that size: a small synthetic field repeated."""
    import numpy as np
    import tifffile

    from nucbatch.synthetic import make_field

    images, _ = make_field(256, np.random.default_rng(0), nuclei=15, channels=1)
    repeats = -(-side_px // 256)
    (folder / "plate").mkdir()
    tifffile.imwrite(
        folder / "plate" / "field.tif", np.tile(images[0], (repeats, repeats))[:side_px, :side_px]
    )


def measure(scratch: Path) -> tuple[int, int]:
    """Peak and projected bytes of the one field below ``scratch``, in this process."""
    from nucbatch.api import prepare
    from nucbatch.execution.block import FieldTask, process_field
    from nucbatch.readers.find import open_plate
    from nucbatch.readers.pixels import field_channels
    from nucbatch.settings import RunSettings
    from nucbatch.store.folder import RunFolder

    plate = open_plate(scratch / "plate")
    prepared = prepare(plate, RunSettings())
    folder = RunFolder(scratch / "out")
    folder.create()
    (field,) = prepared.plan.usable
    process_field(
        FieldTask(
            plate.name,
            plate.root,
            plate.is_plate,
            field,
            field_channels(plate, field),
            folder,
            prepared.plan.settings,
            str(prepared.weights),
        )
    )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, prepared.worker_bytes


if __name__ == "__main__":
    main()
