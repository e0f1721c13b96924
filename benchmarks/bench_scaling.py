"""Overhead of scheduling per block: blocks that do nothing, on a real cluster with a real ledger.

    python -m benchmarks.bench_scaling [BLOCKS ...] [--workers 1 2 4]

Each number of blocks is one large image, planned, submitted in the rolling window, and committed to disk by
the driver. The client's process also holds Dask's scheduler: its peak memory is that of both.
"""

from __future__ import annotations

import argparse
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

BLOCK_PX = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("blocks", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--one", type=int, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(*measure(*arguments.one))
        return
    table = Table(title="Blocks that do nothing, each count in a process of its own")
    titles = ("blocks", "workers", "units", "units/s", "ms per unit", "first after, s", "client, MiB")
    for column in titles:
        table.add_column(column, justify="right")
    for blocks in arguments.blocks:
        for workers in arguments.workers:
            child = [sys.executable, "-m", "benchmarks.bench_scaling", "--one", str(blocks), str(workers)]
            out = subprocess.run(child, check=True, capture_output=True, text=True).stdout
            units, seconds, first, peak = (float(word) for word in out.split())
            table.add_row(
                f"{blocks:,}",
                str(workers),
                f"{units:,.0f}",
                f"{units / seconds:,.0f}",
                f"{1000 * seconds / units:.2f}",
                f"{first:.2f}",
                f"{peak / 2**20:.0f}",
            )
    Console().print(table)


def measure(blocks: int, workers: int) -> tuple[int, float, float, int]:
    """Units, seconds for all of them, seconds to the first one, and peak bytes of this process."""
    import nucbatch.execution.driver as driving
    from benchmarks.null_tasks import IdleProgress
    from nucbatch.core.plate import Channel, Field, Plane, Plate
    from nucbatch.core.settings import RunSettings
    from nucbatch.core.tiles import TileGrid
    from nucbatch.execution.work_queue import NetworkInUse, WorkQueue
    from nucbatch.planning.plan import Plan
    from nucbatch.schedulers.contract import Place, Resources, scheduler
    from nucbatch.store.held_receipts import HeldReceipts
    from nucbatch.store.run_folder import RunFolder

    side = math.isqrt(blocks) * BLOCK_PX
    field = Field("", 1, 0, "image", "image", (Plane("image.tif", "Grey"),), side, side, "uint8")
    with tempfile.TemporaryDirectory() as scratch:
        folder = RunFolder(Path(scratch, "out"))
        folder.create()
        plate = Plate("p", scratch, "single", (Channel("Grey", 0),), (field,), (), is_plate=False)
        plan = Plan(plate, RunSettings(channel="Grey"), BLOCK_PX)
        network = NetworkInUse(
            "", TileGrid(stride=16, halo=112, largest=2048, whole=2048), outputs=4, zoom=1.0
        )
        counter = _Counter()
        driving.ImageProgress = IdleProgress  # the driver's own loop, with units that do nothing
        place = Place(Path(tempfile.gettempdir()))
        with scheduler("local").connect(Resources(workers, 0, 2**20), place) as cluster:
            driver = driving.Driver(
                cluster, WorkQueue(plan, folder, network, HeldReceipts.of(())), counter, lambda: False
            )
            counter.began = time.perf_counter()
            for receipts in driver.receipts():
                if receipts:
                    break
            seconds = time.perf_counter() - counter.began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return counter.units, seconds, counter.first, peak


class _Counter:
    """Counts units, and records when the first ones returned."""

    def __init__(self) -> None:
        self.began = self.first = 0.0
        self.units = 0

    def advance_image(self, name: str, doing: str, done: int, units: int) -> None:
        self.first = self.first or time.perf_counter() - self.began
        self.units = done

    def note(self, sentence: str) -> None:
        print(sentence)


if __name__ == "__main__":
    main()
