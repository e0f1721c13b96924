"""Segmentation with the same weights, image and threads by nucbatch and by other tools, side by side.

    python -m pip install -c constraints.txt monai dask-image cellpose stardist tensorflow-cpu
    python -m benchmarks.bench_rivals [IMAGE] [--model default] [--size 2048] [--threads 1] [--rounds 3]
                                      [--device cuda] [--precision fp16]

Measured is the way from a normalised image in memory to its labels in memory. IMAGE (or a synthetic field) is
mirrored up to the size. Each way runs in a separate process, in turn, after a small image for warm-up. Its
peak memory is that of the process, including imports and weights. Then the cost of other tools' networks with
random weights is compared with nucbatch's bare network. nucbatch needs none of these packages; those that are
not installed, or don't run, are left out with a line that says so, and nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

GOAL = 1.5
WARM_PX = 256
LIBRARIES = ("OMP", "MKL", "OPENBLAS", "NUMBA")
Runs = dict[str, list[dict[str, Any]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("image", type=Path, nargs="?")
    parser.add_argument("--model", default="default")
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--one", nargs=2, metavar=("KIND", "NAME"), help=argparse.SUPPRESS)
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        child(*arguments.one, arguments)
        return
    console = Console(width=110)
    with tempfile.TemporaryDirectory() as scratch:
        arguments.scratch = Path(scratch)
        names = start("prepare", "all", arguments)
        rivals = in_turn(console, "rival", names["rivals"], arguments)
        report_rivals(console, rivals, arguments)
        report_peers(console, in_turn(console, "peer", names["peers"], arguments), arguments)


class Failed(Exception):
    """A process that ended otherwise than well."""


def in_turn(console: Console, kind: str, names: dict[str, str], arguments: argparse.Namespace) -> Runs:
    """What each one that can run says, round by round."""
    for name, install in names.items():
        if install:
            console.print(f"{name} left out: python -m pip install -c constraints.txt {install}")
    runs: Runs = {name: [] for name, install in names.items() if not install}
    for _ in range(arguments.rounds):
        for name in list(runs):
            try:
                runs[name].append(start(kind, name, arguments))
            except Failed as reason:
                console.print(f"{name} left out: {reason}")
                del runs[name]
    return runs


def start(kind: str, name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Runs one in a new process.

    This process stays small, because a child's peak memory includes its parent's.

    Raises:
        Failed: it was killed, as when memory runs out, or ended with an error.
    """
    given = [str(arguments.image)] if arguments.image else []
    passed = ("model", "size", "threads", "device", "precision", "scratch")
    options = {option: getattr(arguments, option) for option in passed}
    given += [text for option, value in options.items() for text in (f"--{option}", str(value))]
    command = [sys.executable, "-m", "benchmarks.bench_rivals", "--one", kind, name, *given]
    threads = {f"{library}_NUM_THREADS": str(arguments.threads) for library in LIBRARIES}
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | threads)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [""]
        raise Failed(f"it ended with {done.returncode}, {lines[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def child(kind: str, name: str, arguments: argparse.Namespace) -> None:
    """Does the work of one new process, and prints the result as the last line."""
    work = {"prepare": prepare, "rival": run_rival, "peer": run_peer}[kind]
    print(json.dumps(work(name, arguments)))


def prepare(_: str, arguments: argparse.Namespace) -> dict[str, dict[str, str]]:
    """Writes the normalised image; returns what must be installed for each rival and peer, "" for nothing."""
    from benchmarks.competitors import PEERS
    from benchmarks.fields import field_of
    from benchmarks.rivals import RIVALS
    from nucbatch.inference.normalise import find_constants, normalise
    from nucbatch.networks.checkpoint import read_card
    from nucbatch.networks.locate import locate

    image = field_of(arguments.image, arguments.size)
    constants = find_constants(image, read_card(locate(arguments.model)).normalise)
    np.save(arguments.scratch / "image.npy", normalise(image, constants))
    return {
        kind: {
            name: "" if all(find_spec(package) for package in one.packages) else one.install
            for name, one in those.items()
        }
        for kind, those in (("rivals", RIVALS), ("peers", PEERS))
    }


def run_rival(name: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Seconds and peak bytes of one way; its labels are written to the scratch folder."""
    from benchmarks.rivals import RIVALS, Hardware
    from nucbatch.networks.checkpoint import load_weights
    from nucbatch.networks.locate import locate

    hardware = Hardware(arguments.threads, arguments.device, arguments.precision)
    image = np.load(arguments.scratch / "image.npy")
    way = RIVALS[name].make(*load_weights(locate(arguments.model)), hardware)
    way(np.ascontiguousarray(image[:, :WARM_PX, :WARM_PX]))
    began = time.perf_counter()
    labels = way(image)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    np.save(arguments.scratch / f"{name}.npy", labels)
    return {"seconds": seconds, "peak_bytes": peak}


def run_peer(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Name, seconds per Mpx, parameters and peak bytes of one network."""
    from benchmarks.competitors import PEERS

    station = PEERS[name].make(arguments.threads, arguments.device)
    station.run()  # the first one chooses algorithms
    began = time.perf_counter()
    station.run()
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "name": station.name,
        "seconds": seconds / station.megapixels,
        "peak_bytes": peak,
        "parameters": station.parameters,
    }


def report_rivals(console: Console, runs: Runs, arguments: argparse.Namespace) -> None:
    """Prints medians, ratios round by round, and how far the labels agree with nucbatch's."""
    from nucbatch.scoring import object_counts

    own = np.load(arguments.scratch / "nucbatch.npy")
    megapixels = own.size / 1e6
    title = arguments.image.stem[:16] if arguments.image else "drawn field"
    how = f"{arguments.device}, {arguments.precision}, {arguments.threads} threads"
    table = Table(title=f"{title}, {megapixels:.1f} Mpx, model {arguments.model}, {how}")
    table.add_column("way")
    for column in ("Mpx/s", "nucbatch / this", "peak, MiB", "nuclei", "F1 with nucbatch"):
        table.add_column(column, justify="right")
    ratios = {}
    for name, said in runs.items():
        counts = object_counts(own, np.load(arguments.scratch / f"{name}.npy"))
        ratios[name] = ratio = _ratio(said, runs["nucbatch"])
        rate = megapixels / statistics.median(one["seconds"] for one in said)
        peak = statistics.median(one["peak_bytes"] for one in said) / 2**20
        figures = (
            f"{rate:.2f}",
            f"{ratio:.2f}",
            f"{peak:.0f}",
            f"{counts.predicted}",
            f"{counts.f1(0.5):.3f}",
        )
        table.add_row(name, *figures)
    console.print(table)
    best = min((name for name in ratios if name != "nucbatch"), key=ratios.__getitem__)
    reached = "reached" if ratios[best] >= GOAL else "missed"
    console.print(f"The fastest other way is {best}: {ratios[best]:.2f}; the goal of {GOAL:g} is {reached}.")


def report_peers(console: Console, runs: Runs, arguments: argparse.Namespace) -> None:
    """Prints the cost per megapixel of each bare network."""
    table = Table(title=f"bare networks, {arguments.device}, {arguments.threads} threads")
    table.add_column("network")
    for column in ("parameters, M", "s / Mpx", "× nucbatch", "peak, MiB"):
        table.add_column(column, justify="right")
    own = runs["nucbatch"]
    for said in runs.values():
        seconds = statistics.median(one["seconds"] for one in said)
        peak = statistics.median(one["peak_bytes"] for one in said) / 2**20
        millions = said[0]["parameters"] / 1e6
        table.add_row(
            said[0]["name"], f"{millions:.1f}", f"{seconds:.3g}", f"{_ratio(said, own):.1f}", f"{peak:.0f}"
        )
    console.print(table)


def _ratio(these: list[dict[str, Any]], own: list[dict[str, Any]]) -> float:
    """The seconds relative to nucbatch's, as the median over the rounds."""
    return statistics.median(one["seconds"] / mine["seconds"] for one, mine in zip(these, own, strict=True))


if __name__ == "__main__":
    main()
