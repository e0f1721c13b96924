"""How fast networks run forwards on a device, each beside the paper's network in float32.

    python -m benchmarks.bench_forward [--model default] [--preset base ...] [--device auto] [--size 512]

Nothing is read, normalised or written: only the network, in evaluation mode, over the same random tiles. The
speed of a network does not depend on its weights, so presets that ship none can be measured too.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from nucbatch.inference.predict import prepared
from nucbatch.networks.checkpoint import load_weights, locate
from nucbatch.networks.contract import build
from nucbatch.training.precision import Precision
from nucbatch.training.recipe import preset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--preset", action="append", default=[])
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    name = arguments.device
    device = torch.device(
        "cuda" if name == "auto" and torch.cuda.is_available() else name.replace("auto", "cpu")
    )
    networks = {"paper": _of_preset("paper")}
    networks |= {f"preset {one}": _of_preset(one) for one in arguments.preset}
    networks |= {one: load_weights(locate(one))[0] for one in arguments.model or ["default"]}
    precisions = ["fp32", "bf16", "fp16"] if device.type == "cuda" else ["fp32"]
    runs = {
        (title, precision): _runner(network, Precision(precision, device), device, arguments)
        for title, network in networks.items()
        for precision in precisions
    }
    for run in runs.values():
        run()  # the first one chooses algorithms
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
    for _ in range(arguments.rounds):
        for key, run in runs.items():
            seconds[key].append(run())
    report(seconds, arguments.batch * arguments.size**2 / 1e6, device)


def _of_preset(name: str) -> nn.Module:
    recipe = preset(name)
    return build(recipe.architecture, recipe.config)


def _runner(
    network: nn.Module, precision: Precision, device: torch.device, arguments: argparse.Namespace
) -> Callable[[], float]:
    ready = prepared(network).to(device)
    tiles = torch.rand(arguments.batch, 3, arguments.size, arguments.size, device=device)

    def run() -> float:
        _wait(device)
        began = time.perf_counter()
        with torch.inference_mode():
            precision.forward(ready, tiles)
        _wait(device)
        return time.perf_counter() - began

    return run


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def report(seconds: dict[tuple[str, str], list[float]], megapixels: float, device: torch.device) -> None:
    """Prints medians, and how many times the paper's network each is, round by round."""
    where = (
        torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    )
    table = Table(title=f"bare forward, {megapixels:.2f} Mpx a call, {device.type}: {where}")
    for column in ("network", "precision", "Mpx/s", "× paper in fp32"):
        table.add_column(column, justify="right" if "/" in column or "×" in column else "left")
    papers = seconds["paper", "fp32"]
    for (title, precision), own in seconds.items():
        ratio = statistics.median(theirs / mine for theirs, mine in zip(papers, own, strict=True))
        rate = megapixels / statistics.median(own)
        table.add_row(title, precision, f"{rate:.2f}", f"{ratio:.1f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
