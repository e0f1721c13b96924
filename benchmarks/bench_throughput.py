"""Rate of a complete run compared with the bare network over the same pixels.

    python -m benchmarks.bench_throughput PLATE --channel NAME [--workers N] [--rounds N] [--block-size PX]
                                          [--scheduler cuda] [--precision fp16] [--side PX --fields N]

*Bare forward*: as many processes as the run has workers, with one torch thread each, push the tiles of the
run through the same weights and do nothing else. Of more than MOST_PX pixels, each process takes an evenly
chosen sample of that size, and the time is scaled up. On a GPU (one) it is a single process, which has the
GPU for itself and submits each batch while the previous one is computed. *Run*: read, normalise, infer,
objects, measure, write. Both are repeated in turn, and each run is compared with the mean of the forwards
before and after it, because a machine's speed drifts. The table has medians and the ratio. Every run starts
without workers, as a new command does. PLATE may be one large image; without it a synthetic plate of --fields
fields of --side px is made.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.fields import plate_of
from nucbatch.core.plate import Field
from nucbatch.core.settings import RunSettings
from nucbatch.core.tiles import Tile
from nucbatch.execution.prepared import Prepared, prepare
from nucbatch.execution.session import execute
from nucbatch.execution.warm_start import load_ahead
from nucbatch.planning.plan import Plan
from nucbatch.readers.find import open_plate
from nucbatch.schedulers import forkserver
from nucbatch.schedulers.contract import Scheduling
from nucbatch.schedulers.environment import WORKER_ENVIRONMENT

MOST_PX = 40e6
GPU_PX = 400e6
"""What a GPU is timed over: the same tiles again and again."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("plate", type=Path, nargs="?")
    parser.add_argument("--channel", default="")
    parser.add_argument(
        "--model", default="default", help="a model, or paper: the untrained network of the paper"
    )
    parser.add_argument("--workers", type=int, help="[default: 2; on a GPU as the run chooses]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--block-size", type=int)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--scheduler", default="local", choices=["local", "cuda"])
    parser.add_argument("--side", type=int, default=1080)
    parser.add_argument("--fields", type=int, default=48)
    arguments = parser.parse_args()
    os.environ.update(WORKER_ENVIRONMENT)  # the bare network has what a worker has
    on_gpu = arguments.scheduler == "cuda"
    if not on_gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        arguments.workers = arguments.workers or 2
    alone = 1 if on_gpu else arguments.workers
    with tempfile.TemporaryDirectory() as scratch:
        source = arguments.plate or plate_of(Path(scratch, "plate"), arguments.side, arguments.fields)
        model = _papers(Path(scratch)) if arguments.model == "paper" else arguments.model
        settings = RunSettings(channel=arguments.channel, model=model, precision=arguments.precision)
        plate = open_plate(source)
        prepared = prepare(plate, settings, block_px=arguments.block_size)
        forwards: list[float] = []
        runs: list[tuple[float, Recorder]] = []
        for number in range(arguments.rounds):
            forwards.append(bare_forward(prepared, alone))
            recorder = Recorder()
            started = time.perf_counter()
            load_ahead(arguments.scheduler)
            result = execute(
                prepare(plate, settings, block_px=arguments.block_size),
                Path(scratch, f"out{number}"),
                scheduling=Scheduling(arguments.scheduler, workers=arguments.workers),
                progress=recorder,
            )
            runs.append((time.perf_counter() - started, recorder))
            shutil.rmtree(Path(scratch, f"out{number}"))
            forkserver.end()  # each round begins as a new command does
        # A GPU's speed does not drift with what others do on the machine.
        forwards.append(forwards[-1] if on_gpu else bare_forward(prepared, alone))
    how = f"{arguments.workers or ''} {arguments.scheduler} workers, {arguments.precision}, {arguments.model}"
    report(prepared.plan, forwards, runs, how, result.totals.nuclei)
    if not on_gpu:
        idle = statistics.median(
            1 - one.stations["network"] / (arguments.workers * one.seconds) for _, one in runs
        )
        print(f"The inference queues are idle {100 * idle:.0f} % of the time from first to last block.")


class Recorder:
    """Measures the time of the blocks alone: from the first submission to the last receipt.

    Also measures for how many seconds cores were busy: of all processes (``machine``), and of this one, the
    driver.
    """

    def __init__(self) -> None:
        self.stations: dict[str, float] = {}
        self.seconds = self.machine = self.driver = 0.0
        self._began = self._busy = self._own = 0.0

    def begin(self, total: int, done: int, nuclei: int) -> None:
        self._began, self._busy, self._own = time.perf_counter(), _busy_seconds(), time.process_time()

    def again(self, receipt, why) -> None: ...

    def advance_image(self, name: str, doing: str, done: int, units: int) -> None: ...

    def note(self, sentence: str) -> None: ...

    def advance(self, receipt) -> None:
        self.seconds = time.perf_counter() - self._began
        self.machine, self.driver = _busy_seconds() - self._busy, time.process_time() - self._own
        for name, seconds in receipt.seconds.items():
            self.stations[name] = self.stations.get(name, 0.0) + seconds


def _busy_seconds() -> float:
    """Seconds that all cores together have been busy since the machine started."""
    times = psutil.cpu_times()
    return times.user + times.nice + times.system


def bare_forward(prepared: Prepared, workers: int) -> float:
    """Seconds of the slowest of ``workers`` processes for its share of the plate's tiles."""
    context = get_context("spawn")
    barrier, seconds = context.Barrier(workers), context.Queue()
    plan, weights = prepared.plan, str(prepared.weights)
    tiles = [
        (field, tile)
        for field in plan.usable
        for tile in prepared.grid.tiles(field.height_px, field.width_px)
    ]
    processes = [
        context.Process(target=_forward_share, args=(plan, weights, tiles[number::workers], barrier, seconds))
        for number in range(workers)
    ]
    for process in processes:
        process.start()
    slowest = max(seconds.get() for _ in processes)
    for process in processes:
        process.join()
    return slowest


def _forward_share(
    plan: Plan, weights: str, tiles: list[tuple[Field, Tile]], barrier: Barrier, seconds
) -> None:
    from nucbatch.execution.job import nuclear_image, seen_channel
    from nucbatch.inference.device import device_for, offer_here
    from nucbatch.inference.normalise import find_constants, normalise
    from nucbatch.inference.reflect import needed, window_of
    from nucbatch.networks.checkpoint import load_weights
    from nucbatch.readers.pixels import FieldReader, field_channels

    device = device_for(load_weights(Path(weights))[0], offer_here().kind_for(plan.settings.precision))
    pixels = sum(math.prod(tile.window.shape) for _, tile in tiles)
    taken = tiles[:: max(1, math.ceil(pixels / MOST_PX))]
    windows = []
    for field, tile in taken:
        channels = field_channels(plan.plate, field)
        box = needed(tile.window, (field.height_px, field.width_px))
        pixels_read = FieldReader.of(plan.plate).read_box(field, channels, box)
        image = nuclear_image(pixels_read, seen_channel(channels, plan.settings.channel))
        normalised = normalise(image, find_constants(image, plan.settings.normalise))
        windows.append(window_of(normalised, tile.window.shifted(-box.y0, -box.x0)))
    once = sum(math.prod(tile.window.shape) for _, tile in taken)
    times = max(1, round(GPU_PX / once)) if device.overlaps else 1
    batches = list(_batches(device, windows))
    device.begin(batches[0]).wait()
    barrier.wait()
    started, before = time.perf_counter(), None
    for batch in batches * times:
        answer = device.begin(batch)
        if before is not None:
            before.wait()
        before = answer
    before.wait()
    seconds.put((time.perf_counter() - started) * pixels / (once * times))


def _batches(device, windows: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """The windows in batches of the device's size."""
    by_shape: dict[tuple[int, ...], list[np.ndarray]] = {}
    for window in windows:
        by_shape.setdefault(window.shape, []).append(window)
    for shape, alike in by_shape.items():
        many = device.batch_of(*shape[1:])
        yield from (alike[start : start + many] for start in range(0, len(alike), many))


def _papers(folder: Path) -> str:
    """The paper's network with weights that find nothing; its speed does not depend on them."""
    from torch.nn.init import constant_

    from nucbatch.networks.checkpoint import save_weights
    from nucbatch.networks.contract import build
    from nucbatch.networks.model_card import Card
    from nucbatch.training.recipe import preset

    recipe, path = preset("paper"), folder / "paper.safetensors"
    network = build(recipe.architecture, recipe.config)
    constant_(network.get_parameter("head.bias"), -100)
    card = Card(name="paper", architecture=recipe.architecture, config=recipe.config, outputs=recipe.outputs)
    save_weights(path, network, card)
    return str(path)


def report(
    plan: Plan,
    forwards: list[float],
    runs: list[tuple[float, Recorder]],
    how: str,
    nuclei: int,
) -> None:
    """Prints medians over the rounds; ``forwards`` has one before each run and one after the last."""
    megapixels = plan.pixels / 1e6
    console = Console()
    size = f"{len(plan.usable)} fields, {megapixels:.1f} Mpx, {nuclei} nuclei"
    table = Table(title=f"{plan.plate.name}: {size}, {how}")
    for column in ("", "seconds", "Mpx/s", "forward / this"):
        table.add_column(column, justify="left" if not column else "right")
    blocks, whole = [run.seconds for _, run in runs], [seconds for seconds, _ in runs]
    beside = [statistics.mean(pair) for pair in pairwise(forwards)]
    rows = {"bare forward": beside, "blocks, first to last": blocks, "whole call": whole}
    for name, seconds in rows.items():
        ratio = statistics.median(bare / other for bare, other in zip(beside, seconds, strict=True))
        middle = statistics.median(seconds)
        table.add_row(name, f"{middle:.1f}", f"{megapixels / middle:.2f}", f"{ratio:.2f}")
    console.print(table)
    stations = [run.stations for _, run in runs]
    totals = {name: statistics.median(one[name] for one in stations) for name in stations[0]}
    totals.pop("network")  # a part of what predicts or segments
    share = ", ".join(f"{name} {100 * value / sum(totals.values()):.0f} %" for name, value in totals.items())
    tasks, busy, driver = (
        statistics.median(of(run) / run.seconds for _, run in runs)
        for of in (
            lambda run: sum(run.stations.values()) - run.stations["network"],
            lambda run: run.machine,
            lambda run: run.driver,
        )
    )
    console.print(
        f"Where the tasks' time goes (waiting for the inference queue is in predict or segment): {share}"
    )
    console.print(
        f"At work at once: {tasks:.1f} tasks; {busy:.1f} of {psutil.cpu_count()} cores, of which the driver "
        f"{driver:.2f}."
    )


if __name__ == "__main__":
    main()
