"""The whole run against the network alone, over the same pixels, side by side in one go.

    python -m benchmarks.bench_throughput PLATE --channel NAME [--workers N] [--rounds N]

*Bare forward*: as many processes as the run has workers, one torch thread each, do nothing but push the
plate's normalised fields through the same weights. *Run*: read, normalise, infer, objects, measure, write.
Both are repeated in turn; the table has medians and the ratio. Without PLATE a synthetic one is made.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from nucbatch.api import Prepared, prepare, run_plate
from nucbatch.planning.plan import Plan
from nucbatch.plate import Field
from nucbatch.readers.find import open_plate
from nucbatch.settings import RunSettings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("plate", type=Path, nargs="?")
    parser.add_argument("--channel", default="")
    parser.add_argument("--model", default="default")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        source = arguments.plate or _synthetic(Path(scratch, "plate"))
        settings = RunSettings(channel=arguments.channel, model=arguments.model)
        plate = open_plate(source)
        prepared = prepare(plate, settings)
        forwards, runs, stations = [], [], []
        for number in range(arguments.rounds):
            forwards.append(bare_forward(prepared, arguments.workers))
            recorder = Recorder()
            started = time.perf_counter()
            result = run_plate(
                plate, Path(scratch, f"out{number}"), settings, workers=arguments.workers, progress=recorder
            )
            runs.append((time.perf_counter() - started, recorder.seconds))
            stations.append(recorder.stations)
    report(prepared.plan, forwards, runs, stations, arguments.workers, result.totals.nuclei)


class Recorder:
    """Times the blocks alone: from the first submission to the last receipt."""

    def __init__(self) -> None:
        self.stations: dict[str, float] = {}
        self.seconds = 0.0
        self._began = 0.0

    def begin(self, total: int, committed: object) -> None:
        self._began = time.perf_counter()

    def advance(self, receipt) -> None:
        self.seconds = time.perf_counter() - self._began
        for name, seconds in receipt.seconds.items():
            self.stations[name] = self.stations.get(name, 0.0) + seconds


def bare_forward(prepared: Prepared, workers: int) -> float:
    """Seconds that the slowest of ``workers`` processes needs for its share of the plate's tiles."""
    context = get_context("spawn")
    barrier, seconds = context.Barrier(workers), context.Queue()
    plan, weights = prepared.plan, str(prepared.weights)
    processes = [
        context.Process(
            target=_forward_share, args=(plan, weights, plan.usable[number::workers], barrier, seconds)
        )
        for number in range(workers)
    ]
    for process in processes:
        process.start()
    slowest = max(seconds.get() for _ in processes)
    for process in processes:
        process.join()
    return slowest


def _forward_share(plan: Plan, weights: str, fields: tuple[Field, ...], barrier: Barrier, seconds) -> None:
    import torch

    from nucbatch.execution.block import nuclear_image
    from nucbatch.inference.normalise import find_constants, normalise
    from nucbatch.inference.predict import cut, forward, grid_of, prepared
    from nucbatch.networks.checkpoint import load_weights
    from nucbatch.readers.pixels import field_channels, read_field

    torch.set_num_threads(1)
    network = load_weights(Path(weights))[0]
    grid, ready = grid_of(network), prepared(network)
    tiles = []
    for field in fields:
        channels = field_channels(plan.plate, field)
        image = nuclear_image(read_field(plan.plate.root, field, channels), channels, plan.settings.channel)
        constants = find_constants(image, plan.settings.normalise)
        normalised = normalise(image, constants)
        tiles += list(cut(normalised, grid.tiles(*normalised.shape[1:])))
    forward(ready, tiles[0][np.newaxis])
    barrier.wait()
    started = time.perf_counter()
    for tile in tiles:
        forward(ready, tile[np.newaxis])
    seconds.put(time.perf_counter() - started)


def _synthetic(folder: Path) -> Path:
    from nucbatch.synthetic import make_plate

    return make_plate(folder, size_px=1024, truncated=False).plate_folder


def report(
    plan: Plan,
    forwards: list[float],
    runs: list[tuple[float, float]],
    stations: list[dict[str, float]],
    workers: int,
    nuclei: int,
) -> None:
    """Prints medians over the rounds, and the ratios round by round."""
    megapixels = plan.pixels / 1e6
    console = Console()
    size = f"{len(plan.usable)} fields, {megapixels:.1f} Mpx, {nuclei} nuclei"
    table = Table(title=f"{plan.plate.name}: {size}, {workers} workers")
    for column in ("", "seconds", "Mpx/s", "forward / this"):
        table.add_column(column, justify="left" if not column else "right")
    blocks, whole = [run[1] for run in runs], [run[0] for run in runs]
    rows = {"bare forward": forwards, "blocks, first to last": blocks, "whole call": whole}
    for name, seconds in rows.items():
        ratio = statistics.median(bare / other for bare, other in zip(forwards, seconds, strict=True))
        middle = statistics.median(seconds)
        table.add_row(name, f"{middle:.1f}", f"{megapixels / middle:.2f}", f"{ratio:.2f}")
    console.print(table)
    totals = {name: statistics.median(one[name] for one in stations) for name in stations[0]}
    share = ", ".join(f"{name} {100 * value / sum(totals.values()):.0f} %" for name, value in totals.items())
    console.print(f"Where the workers' time goes (waiting for the lane counts as segment): {share}")


if __name__ == "__main__":
    main()
