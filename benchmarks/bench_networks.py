"""Trains every network at one common budget, and compares them and the methods without weights.

    python -m benchmarks.bench_networks DATA… -o OUT [--steps N] [--batch N] [--crop PX] [--fit N]

DATA are data sets as for ``nucbatch train``: folders with images/, labels/ and a split.csv. All networks
see the same crops in the same order. They take the default preset's recipe, and of their own the width of
``strided``, whose levels lie at half the resolution, and what the paper of the U-Net of 2015 asks for. A
network that is trained already is not trained again, and an interrupted training continues.

OUT/trained.csv has parameters, time and validation scores. OUT/compared/ has what ``nucbatch compare`` writes
for the test images of each data set, and for their stained images alone.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from nucbatch.networks.checkpoint import read_card
from nucbatch.networks.contract import architecture, build, count_parameters
from nucbatch.training.data import DataSet, find_data
from nucbatch.training.loop import train
from nucbatch.training.recipe import PRESETS, Recipe

NETWORKS = (
    "unet",
    "unet-2015",
    "unet-plus",
    "sharp-dense-unet",
    "unet-plus-plus",
    "unet-plus-plus-supervised",
    "strided",
)
METHODS = ("otsu-watershed", "kmeans-watershed", "lab-kmeans-watershed")
OWN = {"unet-2015": ("learning_rate", "elastic_px", "weights"), "strided": ("width",)}
"""Settings that a network keeps of its own recipe."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int, default=192)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fit", type=int, default=20, help="validation images to fit thresholds to")
    arguments = parser.parse_args()
    names = arguments.networks.split(",")
    budget = {
        "steps": arguments.steps,
        "batch": arguments.batch,
        "crop_px": arguments.crop,
        "width": arguments.width,
        "seed": arguments.seed,
        "precision": "bf16",
        "score_every": arguments.steps,
    }
    data = with_validation(find_data(arguments.data), arguments.fit)
    for name in names:
        train_one(name, data, arguments.out, budget)
    write_costs(arguments.out, names)
    for folder in arguments.data:
        compare(folder, arguments.out, names)


def with_validation(data: DataSet, count: int) -> DataSet:
    """Keeps about ``count`` of the validation images, evenly chosen, and all others.

    Thresholds are fitted to these and three times as many training images, which costs more than a short
    training if there are many.
    """
    held = data.split("val")
    kept = {entry.name for entry in held[:: max(1, len(held) // count)]}
    return replace(
        data, entries=tuple(entry for entry in data.entries if entry.split != "val" or entry.name in kept)
    )


def recipe_of(name: str, budget: dict[str, object]) -> Recipe:
    """The default recipe at the common budget, with the settings that a network keeps of its own."""
    own = getattr(architecture(name), "recipe", {})
    kept = {field: own[field] for field in OWN.get(name, ())}
    fields = {**PRESETS["default"].model_dump(), **budget, **kept, "name": name, "architecture": name}
    return Recipe.model_validate(fields)


def train_one(name: str, data: DataSet, out: Path, budget: dict[str, object]) -> None:
    """Trains a network, unless its weights are there."""
    folder = out / name
    if (folder / "train.json").exists():
        return
    resume = (folder / "state.safetensors").exists()
    began = time.perf_counter()
    weights = train(data, folder, recipe_of(name, budget), resume=resume, name=name)
    scores = ", ".join(f"{figure} {value:.3f}" for figure, value in read_card(weights).scores.items())
    print(f"{name}: {time.perf_counter() - began:.0f} s; {scores}", flush=True)


def write_costs(out: Path, names: list[str]) -> None:
    """Writes parameters, seconds and validation scores of the trained networks to ``trained.csv``."""
    rows = []
    for name in names:
        card = read_card(out / name / "weights.safetensors")
        run = json.loads((out / name / "train.json").read_text())
        parameters = count_parameters(build(card.architecture, card.config))[1]
        rows.append({"network": name, "parameters": parameters, "seconds": run.get("seconds"), **card.scores})
    with (out / "trained.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def compare(folder: Path, out: Path, names: list[str]) -> None:
    """Runs ``nucbatch compare`` on a data set's test images: default, trained networks, methods.

    ``lab-kmeans-watershed`` leaves out grey images, so stained images are compared apart too.
    """
    weights = [str(out / name / "weights.safetensors") for name in names]
    with (folder / "split.csv").open(newline="", encoding="utf-8") as stream:
        tested = [row for row in csv.DictReader(stream) if row["split"] == "test"]
    for kind in ("all", "histology"):
        ids = {row["id"] for row in tested if kind in ("all", row["modality"])}
        place = out / "compared" / f"{folder.name}-{kind}"
        for part in ("images", "labels"):
            (place / part).mkdir(parents=True, exist_ok=True)
            for file in (folder / part).iterdir():
                if file.stem in ids and not (place / part / file.name).exists():  # else runs can't go on
                    shutil.copyfile(file, place / part / file.name)
        methods = METHODS if kind == "histology" else METHODS[:2]
        models = ",".join(["default", *named_copies(weights, names, place), *methods])
        command = [sys.executable, "-m", "nucbatch", "compare", str(place / "images")]
        command += ["--gt", str(place / "labels"), "--models", models, "-o", str(place / "runs")]
        subprocess.run(command, check=True)


def named_copies(weights: list[str], names: list[str], place: Path) -> list[str]:
    """Copies weight files to files that are named after their networks, as ``compare`` names its folders."""
    copies = [place / "weights" / f"{name}.safetensors" for name in names]
    copies[0].parent.mkdir(exist_ok=True)
    for source, copy in zip(weights, copies, strict=True):
        shutil.copyfile(source, copy)
    return [str(copy) for copy in copies]


if __name__ == "__main__":
    main()
