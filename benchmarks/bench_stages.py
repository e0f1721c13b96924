"""CPU time per Mpx of each stage of a large image, without the network.

    python -m benchmarks.bench_stages [IMAGE] [--channel NAME] [--side PX] [--block-size PX] [--rounds N]

The network is replaced by its recorded maps of the same image. What remains is copying, counting, tiling,
objects, measuring, masks and pyramids, done by one thread, one unit after another. The last column is the
number of cores that keep up with a GPU. Without IMAGE one is drawn.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.bench_feed import Canned, name_of
from benchmarks.fields import large_image
from nucbatch.core.settings import RunSettings
from nucbatch.execution.large.image_progress import ImageProgress
from nucbatch.execution.prepared import Prepared, prepare
from nucbatch.execution.work_queue import NetworkInUse, WorkQueue
from nucbatch.inference import queue as inference_queue
from nucbatch.inference.device import CpuDevice
from nucbatch.readers.find import open_plate
from nucbatch.schedulers.environment import WORKER_ENVIRONMENT
from nucbatch.store.held_receipts import HeldReceipts
from nucbatch.store.run_folder import RunFolder

DRIVER = "driver"


class Remembering(Canned):
    """A device that runs the network once per tile and records its maps."""

    def __init__(self, device: CpuDevice) -> None:
        super().__init__({})
        self._device = device

    def begin(self, tiles: list[NDArray[np.float32]]) -> SimpleNamespace:
        for tile in tiles:
            if name_of(tile) not in self.answers:
                self.answers[name_of(tile)] = self._device.begin([tile]).wait()[0]
        return super().begin(tiles)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("image", type=Path, nargs="?")
    parser.add_argument("--channel", default="")
    parser.add_argument("--side", type=int, default=6144, help="side in px of the drawn image")
    parser.add_argument("--block-size", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gpu", type=float, default=100.0, help="rate of the network on a GPU in Mpx/s")
    arguments = parser.parse_args()
    os.environ.update(WORKER_ENVIRONMENT, CUDA_VISIBLE_DEVICES="")
    with tempfile.TemporaryDirectory() as scratch:
        source = arguments.image or large_image(Path(scratch, "drawn.tif"), arguments.side)
        # A process of its own, as a worker is, whose memory is kept as a worker's is.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            wanted = arguments.channel, arguments.block_size, arguments.rounds, Path(scratch)
            what, costs = pool.submit(costs_of, source, *wanted).result()
    report(costs, what, arguments.gpu)


def costs_of(
    source: Path, channel: str, block_px: int | None, rounds: int, scratch: Path
) -> tuple[str, dict[str, list[float]]]:
    """Names of what was measured, and the milliseconds of CPU time per Mpx of each stage in every round."""
    inference_queue.device_for = lambda network, kind: Remembering(CpuDevice(network, kind))
    prepared = prepare(open_plate(source), RunSettings(channel=channel), block_px=block_px)
    (field,) = prepared.plan.usable
    megapixels = field.height_px * field.width_px / 1e6
    costs: defaultdict[str, list[float]] = defaultdict(list)
    measured(prepared, scratch / "first")  # the network is asked, and kernels are loaded
    for number in range(rounds):
        nuclei, seconds = measured(prepared, scratch / str(number))
        for stage, took in seconds.items():
            costs[stage].append(1000 * took / megapixels)
    what = f"{source.name}: {megapixels:.1f} Mpx, {nuclei:,} nuclei: everything but the network, one thread"
    return what, dict(costs)


def measured(prepared: Prepared, out: Path) -> tuple[int, Counter[str]]:
    """Nuclei of a run's only image, and seconds of CPU time by stage."""
    folder = RunFolder(out)
    folder.create()
    network = NetworkInUse(
        str(prepared.weights), prepared.grid, len(prepared.card.outputs), prepared.scale.largest_zoom
    )
    image = WorkQueue(prepared.plan, folder, network, HeldReceipts.of(())).next_image()
    if image is None:
        raise SystemExit("the image is not cut into blocks: give a larger one, or a smaller --block-size.")
    seconds: Counter[str] = Counter()
    began = time.process_time()
    image_progress = ImageProgress(image)
    while not image_progress.finished:
        task = image_progress.next()
        if task is None:
            raise AssertionError("no unit may start, and none is running")
        before = time.process_time()
        outcome = task.run()
        seconds["".join(filter(str.isalpha, task.stage))] += time.process_time() - before
        image_progress.accept(outcome)
    nuclei = image_progress.receipt().nuclei
    seconds[DRIVER] = time.process_time() - began - seconds.total()
    return nuclei, seconds


def report(costs: dict[str, list[float]], what: str, gpu: float) -> None:
    table = Table(title=what)
    for column in ("stage", "ms of CPU per Mpx", f"cores for {gpu:g} Mpx/s"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    medians = {stage: statistics.median(found) for stage, found in costs.items()}
    for stage, cost in [*medians.items(), ("all", sum(medians.values()))]:
        table.add_row(stage, f"{cost:.1f}", f"{cost * gpu / 1000:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
