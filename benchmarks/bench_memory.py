"""Peak memory of one image's tasks compared with the plan's projection, for growing images.

    python -m benchmarks.bench_memory [SIDE_PX ...] [--block-size PX] [--repeat N]

Each image is processed in a new process, from its file to its committed labels. Images longer than a block
are cut into blocks, and the tasks run one after another, as in a worker. All tiles need the same memory, so
the network sees only the first --predict of them. The allocator's placement of the network's maps varies, so
each image is processed several times and the largest peak counts.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from nucbatch.schedulers.environment import WORKER_ENVIRONMENT

SIDES_PX = [256, 512, 1024, 2048, 4096, 8192]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sides", type=int, nargs="*", default=SIDES_PX)
    parser.add_argument(
        "--block-size", type=int, default=0, help="side of a block in px; 0: the default of a run"
    )
    parser.add_argument("--predict", type=int, default=4, help="number of tiles to predict of a large image")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(*measure(arguments.one, arguments.block_size or None, arguments.predict))
        return
    table = Table(title="One image of one 16-bit channel, default model")
    titles = ("side, px", "blocks", "peaks, MiB", "projected, MiB", "largest / projected", "/ first side's")
    for column in titles:
        table.add_column(column, justify="right")
    first = 0
    for side in arguments.sides:
        with tempfile.TemporaryDirectory() as scratch:
            draw(Path(scratch), side)
            child = [sys.executable, "-m", "benchmarks.bench_memory", "--one", scratch]
            child += ["--block-size", str(arguments.block_size), "--predict", str(arguments.predict)]
            environment = os.environ | WORKER_ENVIRONMENT
            peaks: list[int] = []
            for _ in range(arguments.repeat):
                shutil.rmtree(Path(scratch, "out"), ignore_errors=True)
                out = subprocess.run(
                    child, check=True, stdout=subprocess.PIPE, text=True, env=environment
                ).stdout
                blocks, peak, projected = (int(number) for number in out.split())
                peaks.append(peak)
        largest = max(peaks)
        first = first or largest
        table.add_row(
            str(side),
            f"{blocks:,}",
            f"{min(peaks) / 2**20:.0f} to {largest / 2**20:.0f}",
            f"{projected / 2**20:.0f}",
            f"{largest / projected:.2f}",
            f"{largest / first:.2f}",
        )
    Console().print(table)


def draw(folder: Path, side_px: int) -> None:
    """Writes one TIFF of that size: a small synthetic field repeated."""
    import numpy as np
    import tifffile

    from nucbatch.synthetic import make_field

    images, _ = make_field(256, np.random.default_rng(0), nuclei=15, channels=1)
    (folder / "plate").mkdir()
    band = np.tile(images[0], (1, -(-side_px // 256)))[:, :side_px]

    def tiles():
        for top in range(0, side_px, 256):
            rows = band[: min(256, side_px - top)]
            for left in range(0, side_px, 256):
                piece = rows[:, left : left + 256]
                yield np.pad(piece, [(0, 256 - piece.shape[0]), (0, 256 - piece.shape[1])])

    tifffile.imwrite(
        folder / "plate" / "field.tif", tiles(), shape=(side_px, side_px), dtype=band.dtype, tile=(256, 256)
    )


def measure(scratch: Path, block_px: int | None, predicted: int) -> tuple[int, int, int]:
    """Number of blocks, peak bytes and projected bytes of the image below ``scratch``, in this process."""
    from nucbatch.core.settings import RunSettings
    from nucbatch.execution.field_task import FieldTask
    from nucbatch.execution.large.image import LargeImage
    from nucbatch.execution.large.image_progress import ImageProgress
    from nucbatch.execution.large.stages import PREDICT
    from nucbatch.execution.large.unit import UnitDone
    from nucbatch.execution.prepared import prepare
    from nucbatch.execution.process_field import process_field
    from nucbatch.readers.find import open_plate
    from nucbatch.store.run_folder import RunFolder
    from nucbatch.store.units import Unit

    plate = open_plate(scratch / "plate")
    prepared = prepare(plate, RunSettings(), block_px=block_px)
    folder = RunFolder(scratch / "out")
    folder.create()
    (field,) = prepared.plan.usable
    weights = str(prepared.weights)
    blocks = 1
    if prepared.plan.is_large(field):
        sight = prepared.grid, len(prepared.card.outputs), prepared.scale.largest_zoom, prepared.plan.block_px
        image = LargeImage.of(prepared.plan, field, folder, weights, *sight)
        progress, blocks = ImageProgress(image), image.blocks.shape[0] * image.blocks.shape[1]
        while not progress.finished:
            unit = progress.next()
            if unit.stage == PREDICT.name and (predicted := predicted - 1) < 0:
                progress.accept([UnitDone(Unit(unit.stage, *place)) for place in unit.places])
            else:
                progress.accept(unit.run())
    else:
        process_field(FieldTask.of(prepared.plan, field, folder, weights))
    return blocks, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, prepared.worker_bytes


if __name__ == "__main__":
    main()
