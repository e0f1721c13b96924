"""Rate of several processes that share one device, each with its own inference queue.

    python -m benchmarks.bench_share [--processes 1 16] [--model default] [--precision fp16] [--side 1088]

Each process submits batches of grey tiles as a run does, each while the previous one is computed, and all
start at the same moment. Nothing is read, made or written. ``--model`` may also be a preset's name.
"""

from __future__ import annotations

import argparse
import time
from multiprocessing import get_context
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

import numpy as np
from rich.console import Console
from rich.table import Table

from nucbatch.core.numeric_kind import Precision


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--model", default="default")
    parser.add_argument("--precision", default="fp16", choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--side", type=int, default=1088)
    parser.add_argument("--megapixels", type=float, default=1500, help="of all processes together")
    arguments = parser.parse_args()
    table = Table(title=f"{arguments.model}, {arguments.precision}, tiles of {arguments.side} px")
    for column in ("processes", "Mpx/s together", "beside the first"):
        table.add_column(column, justify="right")
    rates: list[float] = []
    for processes in arguments.processes:
        rates.append(together(processes, arguments))
        table.add_row(str(processes), f"{rates[-1]:.3g}", f"{rates[-1] / rates[0]:.2f}")
    Console().print(table)


def together(processes: int, arguments: argparse.Namespace) -> float:
    """Mpx/s of all of them, by the slowest."""
    context = get_context("spawn")
    barrier, seconds = context.Barrier(processes), context.Queue()
    tiles = max(1, round(arguments.megapixels * 1e6 / processes / arguments.side**2))
    work = arguments.model, arguments.precision, arguments.side, tiles
    children = [context.Process(target=_push, args=(*work, barrier, seconds)) for _ in range(processes)]
    for child in children:
        child.start()
    slowest = max(seconds.get() for _ in children)
    for child in children:
        child.join()
    return processes * tiles * arguments.side**2 / 1e6 / slowest


def _push(
    model: str, precision: Precision, side_px: int, tiles: int, barrier: Barrier, seconds: Queue[float]
) -> None:
    from nucbatch.inference.device import device_for, offer_here
    from nucbatch.networks.checkpoint import load_weights
    from nucbatch.networks.contract import build
    from nucbatch.networks.locate import locate
    from nucbatch.training.recipe import PRESETS, preset

    if model in PRESETS and model != "default":
        network = build(preset(model).architecture, preset(model).config)
    else:
        network = load_weights(locate(model))[0]
    device = device_for(network, offer_here().kind_for(precision))
    plane = np.random.default_rng(0).random((side_px, side_px), np.float32)
    many = device.batch_of(side_px, side_px)
    batch = [np.broadcast_to(plane, (3, side_px, side_px))] * many
    device.begin(batch).wait()  # the first one chooses algorithms
    barrier.wait()
    began, before = time.perf_counter(), None
    for _ in range(max(1, tiles // many)):
        coming = device.begin(batch)
        if before is not None:
            before.wait()
        before = coming
    if before is not None:
        before.wait()
    seconds.put(time.perf_counter() - began)


if __name__ == "__main__":
    main()
