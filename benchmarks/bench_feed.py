"""CPU work beside the network: number of cores and processes needed to keep a GPU busy.

    python -m benchmarks.bench_feed [PLATE] [--channel NAME] [--fields N] [--times N] [--rounds N] [--gpu N]
                                    [--wait MS] [--images copy|none]

The network is replaced by its recorded maps of the same fields, returned at once or after --wait
milliseconds, like a GPU that is shared. What remains is reading, normalising, tiling, objects, measuring and
writing, as in a run. The tasks run in one process with several threads, and in several processes: threads
share Python's lock, processes don't. The last column is the number of cores that keep up with a GPU. Without
PLATE a synthetic one is drawn.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from nucbatch.core.settings import RunSettings
from nucbatch.core.tiles import GPU_BATCH_PX
from nucbatch.execution.field_task import FieldTask
from nucbatch.execution.job import nuclear_image, seen_channel
from nucbatch.execution.plate_scale import with_plate_scale
from nucbatch.execution.prepared import Prepared, prepare
from nucbatch.execution.process_field import process_field
from nucbatch.inference import queue as inference_queue
from nucbatch.inference.normalise import find_constants
from nucbatch.inference.scale import Scale
from nucbatch.inference.segment import segment_image
from nucbatch.readers.find import open_plate
from nucbatch.readers.pixels import FieldReader, field_channels
from nucbatch.schedulers.environment import WORKER_ENVIRONMENT
from nucbatch.schedulers.local import cores
from nucbatch.store.run_folder import RunFolder
from nucbatch.synthetic import make_plate

Maps = NDArray[np.uint8]
Answers = dict[bytes, Maps]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("plate", type=Path, nargs="?")
    parser.add_argument("--channel", default="")
    parser.add_argument("--fields", type=int, default=12, help="number of fields to use")
    parser.add_argument("--times", type=int, default=4, help="repetitions of each field in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gpu", type=float, default=100.0, help="rate of the network on a GPU in Mpx/s")
    parser.add_argument("--wait", type=float, default=0.0, help="time of the GPU for a batch in ms")
    parser.add_argument("--images", choices=["copy", "none"], default="copy", help="as in a run")
    arguments = parser.parse_args()
    os.environ.update(WORKER_ENVIRONMENT, CUDA_VISIBLE_DEVICES="")
    with tempfile.TemporaryDirectory() as scratch:
        source = arguments.plate or make_plate(Path(scratch, "plate"), size_px=1080).plate_folder
        settings = RunSettings(channel=arguments.channel, images=arguments.images)
        prepared, _ = with_plate_scale(prepare(open_plate(source), settings), None, cores())
        usable = prepared.plan.usable[: arguments.fields]
        fewer = replace(prepared.plan, plate=replace(prepared.plan.plate, fields=usable))
        prepared = replace(prepared, plan=fewer)
        answers = answers_of(prepared)
        most = cores()
        ways = [(1, 1), (1, 2 * most), (most, 1), (most, 2), (3 * most // 2, 1), (2 * most, 1)]
        figures: dict[tuple[int, int], list[tuple[float, float]]] = {way: [] for way in ways}
        for _ in range(arguments.rounds):
            for processes, threads in ways:
                device = Canned(answers, arguments.wait / 1000)
                work = prepared, device, threads, arguments.times, Path(scratch, "out")
                figures[processes, threads].append(together(processes, work))
                shutil.rmtree(Path(scratch, "out"))
    megapixels = sum(field.height_px * field.width_px for field in usable) / 1e6
    what = f"{source.name}: {len(usable)} fields, {megapixels:.1f} Mpx, --images {arguments.images}"
    report(figures, what, arguments.gpu)


class Canned:
    """A device that returns recorded maps; batches are filled and copied as for a GPU."""

    overlaps = True

    def __init__(self, answers: Answers, wait_s: float = 0.0) -> None:
        self.answers, self._wait_s = answers, wait_s

    def batch_of(self, height_px: int, width_px: int) -> int:
        return max(1, GPU_BATCH_PX // (height_px * width_px))

    def begin(self, tiles: list[NDArray[np.float32]]) -> SimpleNamespace:
        grey = [tile[:1] if tile.strides[0] == 0 else tile for tile in tiles]
        np.stack(grey)  # into the page-locked buffer, there
        began = time.perf_counter()

        def wait() -> Maps:
            time.sleep(max(0.0, began + self._wait_s - time.perf_counter()))
            return np.stack([self.answers[name_of(tile)] for tile in tiles])

        return SimpleNamespace(wait=wait)


def name_of(tile: NDArray[np.float32]) -> bytes:
    """A key that identifies a tile: some of its pixels."""
    return np.ascontiguousarray(tile[0, ::7, ::7]).tobytes()


def answers_of(prepared: Prepared) -> Answers:
    """The network's maps of each tile of the plan's fields."""
    answers: Answers = {}
    real = inference_queue.InferenceQueue(prepared.weights)

    def predict(tile: NDArray[np.float32]) -> Maps:
        return answers.setdefault(name_of(tile), real.predict(tile))

    plan = prepared.plan
    for field in plan.usable:
        channels = field_channels(plan.plate, field)
        image = FieldReader.of(plan.plate).read_whole(field, channels)
        seen = nuclear_image(image, seen_channel(channels, plan.settings.channel))
        constants, scale = find_constants(seen, plan.settings.normalise), Scale.of(real.card, plan.settings)
        segment_image(seen, constants, real.grid, predict, plan.settings.objects, scale)
    real.close()
    return answers


def together(processes: int, work: tuple[Prepared, Canned, int, int, Path]) -> tuple[float, float]:
    """Mpx/s of all processes together, and CPU seconds per Mpx."""
    context = get_context("spawn")
    barrier, results = context.Barrier(processes), context.Queue()
    children = [
        context.Process(target=_work, args=(number, *work, barrier, results)) for number in range(processes)
    ]
    for child in children:
        child.start()
    found = [results.get() for _ in children]
    for child in children:
        child.join()
    pixels = sum(pixels for pixels, _, _ in found)
    slowest = max(seconds for _, seconds, _ in found)
    return pixels / 1e6 / slowest, sum(cpu for _, _, cpu in found) / (pixels / 1e6)


def _work(
    number: int, prepared: Prepared, device: Canned, threads: int, times: int, out: Path, barrier, results
) -> None:
    """The work of one process: every field, ``times`` times, each time into a new folder."""
    inference_queue.device_for = lambda network, kind: device
    plan = prepared.plan
    folders = [RunFolder(out / f"{number}-{turn}") for turn in range(times + 1)]
    tasks = [
        [FieldTask.of(plan, field, folder, str(prepared.weights)) for field in plan.usable]
        for folder in folders
    ]
    for folder in folders:
        folder.create()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(process_field, tasks[0]))  # loads kernels
        barrier.wait()
        began, cpu = time.perf_counter(), time.process_time()
        list(pool.map(process_field, [task for more in tasks[1:] for task in more]))
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    pixels = times * sum(field.height_px * field.width_px for field in plan.usable)
    results.put((pixels, seconds, cpu))


def report(figures: dict[tuple[int, int], list[tuple[float, float]]], what: str, gpu: float) -> None:
    table = Table(title=f"{what}: everything but the network, {cores()} cores")
    titles = ("processes", "threads of each", "Mpx/s", "ms of CPU per Mpx", f"cores for {gpu:g} Mpx/s")
    for column in titles:
        table.add_column(column, justify="right")
    for (processes, threads), measured in figures.items():
        rate = statistics.median(rate for rate, _ in measured)
        cpu = statistics.median(cpu for _, cpu in measured)
        row = str(processes), str(threads), f"{rate:.1f}", f"{1000 * cpu:.0f}", f"{gpu * cpu:.1f}"
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    main()
