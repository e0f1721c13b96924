"""Forward rate of networks on a device, each compared with the paper's network.

    python -m benchmarks.bench_forward [--model default] [--preset base ...] [--device auto] [--size 512]
                                       [--way eager graph compiled] [--no-tf32]

Nothing is read, normalised or written: only the network runs, on the same random tiles. The rate does not
depend on the weights, so presets without shipped weights can be measured too. ``--way``: eager, as in a run;
graph, with kernels recorded once and replayed (GPUs); compiled, by torch.compile. The seconds of the first
call are what a process would pay at its start.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from nucbatch.core.numeric_kind import Precision
from nucbatch.inference.device import has_bf16
from nucbatch.inference.predict import prepared
from nucbatch.networks.checkpoint import load_weights
from nucbatch.networks.contract import build
from nucbatch.networks.locate import locate
from nucbatch.training.recipe import preset

Key = tuple[str, Precision, str]
Forward = Callable[[Tensor], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--preset", action="append", default=[])
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--precision",
        nargs="+",
        choices=["fp32", "bf16", "fp16"],
        help="precisions to measure [default: all]",
    )
    parser.add_argument("--way", nargs="+", default=["eager"], choices=["eager", "graph", "compiled"])
    parser.add_argument("--no-tf32", action="store_true", help="full float32 precision on a GPU")
    arguments = parser.parse_args()
    name = arguments.device
    device = torch.device(
        "cuda" if name == "auto" and torch.cuda.is_available() else name.replace("auto", "cpu")
    )
    networks = {"paper": _of_preset("paper")}
    networks |= {f"preset {one}": _of_preset(one) for one in arguments.preset}
    networks |= {one: load_weights(locate(one))[0] for one in arguments.model or ["default"]}
    able: list[Precision] = ["fp32"]
    able += ["bf16"] if has_bf16(device) else []
    able += ["fp16"] if device.type == "cuda" else []
    precisions = [one for one in able if one in (arguments.precision or able)]
    runs = {
        (title, precision, way): _runner(network, precision, way, device, arguments)
        for title, network in networks.items()
        for precision in precisions
        for way in arguments.way
    }
    starts = {key: run() for key, run in runs.items()}
    seconds: dict[Key, list[float]] = {key: [] for key in runs}
    for _ in range(arguments.rounds):
        for key, run in runs.items():
            seconds[key].append(run())
    report(starts, seconds, arguments.batch * arguments.size**2 / 1e6, device)


def _of_preset(name: str) -> nn.Module:
    recipe = preset(name)
    return build(recipe.architecture, recipe.config)


def _runner(
    network: nn.Module, precision: Precision, way: str, device: torch.device, arguments: argparse.Namespace
) -> Callable[[], float]:
    if device.type == "cuda":  # as the inference queue sets it
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.allow_tf32 = not arguments.no_tf32
    ready = prepared(network, precision).to(device)
    tiles = torch.rand(arguments.batch, 3, arguments.size, arguments.size, device=device)
    tiles = tiles.to(next(ready.parameters()).dtype).contiguous(memory_format=torch.channels_last)
    begin = {
        "eager": lambda: ready,
        "graph": lambda: _recorded(ready, tiles),
        "compiled": lambda: _compiled(ready),
    }
    kept: list[Forward] = []

    def run() -> float:
        _wait(device)
        began = time.perf_counter()
        with torch.inference_mode():
            if not kept:
                kept.append(begin[way]())
            kept[0](tiles)
        _wait(device)
        return time.perf_counter() - began

    return run


def _compiled(network: nn.Module) -> Forward:
    forward: Forward = torch.compile(network)
    return forward


def _recorded(network: nn.Module, tiles: Tensor) -> Forward:
    network(tiles)  # the first one chooses algorithms
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = network(tiles)

    def replay(_: Tensor) -> Tensor:
        graph.replay()
        return found

    return replay


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def report(
    starts: dict[Key, float], seconds: dict[Key, list[float]], megapixels: float, device: torch.device
) -> None:
    """Prints medians, and the ratio of each rate to the first one, round by round."""
    where = (
        torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    )
    table = Table(title=f"bare forward, {megapixels:.2f} Mpx a call, {device.type}: {where}")
    for column in ("network", "precision", "way", "first call, s", "Mpx/s", "× the first"):
        table.add_column(column, justify="right" if set(column) & set("/×,") else "left")
    first_one = next(iter(seconds.values()))
    for (title, precision, way), own in seconds.items():
        ratio = statistics.median(theirs / mine for theirs, mine in zip(first_one, own, strict=True))
        rate = megapixels / statistics.median(own)
        first = f"{starts[title, precision, way]:.1f}"
        table.add_row(title, precision, way, first, f"{rate:.3g}", f"{ratio:.1f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
