"""Time to turn maps into labels and measurements on one core, compared with scikit-image on the same maps.

    python -m benchmarks.bench_objects [IMAGE] [--model default] [--size 2048] [--rounds N] [--gpu MPX_PER_S]

The maps are the model's of IMAGE (or of a synthetic field), mirrored up to the size. Both sides turn them
into labels; both measure nucbatch's labels, so that the same objects are measured. Times are CPU seconds of
one process, repeated in turn, so that rates are per core whatever the load of the machine. Kernels are
compiled beforehand.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks import scikit
from benchmarks.fields import field_of
from nucbatch.features.measure import measure
from nucbatch.inference.normalise import find_constants
from nucbatch.inference.predict import forward, grid_of, prepared
from nucbatch.inference.segment import maps_of
from nucbatch.masks.objects import find_nuclei
from nucbatch.networks.checkpoint import load_weights
from nucbatch.networks.locate import locate
from nucbatch.networks.model_card import Card
from nucbatch.scoring import object_counts

GOAL = 5.0
STEPS = ("labels", "features")
SIDES = ("nucbatch", "scikit-image")
Key = tuple[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("image", type=Path, nargs="?")
    parser.add_argument("--model", default="default")
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gpu", type=float, default=100.0, help="rate of the network on a GPU in Mpx/s")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    image = field_of(arguments.image, arguments.size)
    maps, card = predicted(image, arguments.model)
    plane = image if image.ndim == 2 else image.mean(axis=2).astype(image.dtype)
    labels = find_nuclei(maps, card.objects)  # compiles the kernels or loads them, as does the next line
    measure(labels, plane[np.newaxis], ["Nuclei"])
    stations: dict[Key, Callable[[], object]] = {
        ("labels", "nucbatch"): lambda: find_nuclei(maps, card.objects),
        ("labels", "scikit-image"): lambda: scikit.labelled(maps[0], maps[1], card.objects, scale=255),
        ("features", "nucbatch"): lambda: measure(labels, plane[np.newaxis], ["Nuclei"]),
        ("features", "scikit-image"): lambda: scikit.measured(labels, plane),
    }
    seconds: dict[Key, list[float]] = {key: [] for key in stations}
    results: dict[Key, object] = {}
    for _ in range(arguments.rounds):
        for key, station in stations.items():
            began = time.process_time()
            results[key] = station()
            seconds[key].append(time.process_time() - began)
    console = Console(width=100)
    megapixels = plane.size / 1e6
    rate = report(
        console, seconds, megapixels, arguments.image.stem[:16] if arguments.image else "drawn field"
    )
    agreement(console, results)
    console.print(
        f"A GPU of {arguments.gpu:g} Mpx/s keeps {math.ceil(arguments.gpu / rate)} such cores busy "
        f"({arguments.gpu / rate:.1f}) with labels and features."
    )


def predicted(image: NDArray[np.generic], model: str) -> tuple[NDArray[np.uint8], Card]:
    """The model's maps (outputs, Y, X) of an image, and its card."""
    network, card = load_weights(locate(model))
    ready = prepared(network)
    constants = find_constants(image, card.normalise)
    return maps_of(image, constants, grid_of(network), lambda tile: forward(ready, tile[np.newaxis])[0]), card


def report(console: Console, seconds: dict[Key, list[float]], megapixels: float, title: str) -> float:
    """Prints medians and the ratios round by round; returns nucbatch's Mpx/s of both steps together."""
    table = Table(title=f"{title}, {megapixels:.1f} Mpx, Mpx/s of one core")
    table.add_column("step")
    for column in (*SIDES, "ratio"):
        table.add_column(column, justify="right")
    rows = {step: [seconds[step, side] for side in SIDES] for step in STEPS}
    rows["both"] = [
        [sum(both) for both in zip(*(seconds[step, side] for step in STEPS), strict=True)] for side in SIDES
    ]
    for step, (own, other) in rows.items():
        ratio = statistics.median(theirs / mine for mine, theirs in zip(own, other, strict=True))
        rates = (f"{megapixels / statistics.median(taken):.1f}" for taken in (own, other))
        table.add_row(step, *rates, f"{ratio:.1f}")
    console.print(table)
    console.print(f"The goal for both together is {GOAL:g}: {'reached' if ratio >= GOAL else 'missed'}.")
    return megapixels / statistics.median(rows["both"][0])


def agreement(console: Console, results: dict[Key, object]) -> None:
    """Prints whether both sides found the same nuclei and the same measurements."""
    own, other = (results["labels", side] for side in SIDES)
    counts = object_counts(own, other)
    console.print(
        f"Nuclei: nucbatch {counts.truth}, scikit-image {counts.predicted}; F1 of one against the other "
        f"{counts.f1(0.5):.3f} at IoU 0.5."
    )
    mine, theirs = (results["features", side] for side in SIDES)
    pairs = {
        "AreaShape_Area": "area",
        "AreaShape_Perimeter": "perimeter",
        "AreaShape_ConvexArea": "area_convex",
        "Intensity_MedianIntensity_Nuclei": "quartiles-1",
    }
    apart = {
        name: float(np.abs(mine[f"Nuclei_{column}"] - theirs[name]).max()) for column, name in pairs.items()
    }
    console.print(
        "Largest differences of the same objects: "
        + ", ".join(f"{name} {value:.1e}" for name, value in apart.items())
    )


if __name__ == "__main__":
    main()
