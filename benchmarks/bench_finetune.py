"""Gain of fine-tuning on a few images of a lab, for images that the model was not trained for.

    python -m benchmarks.bench_finetune [DATA] [--model default] [--images 20] [--steps N]

The shifted data are made here: fields whose nuclei appear as relief, lit from one side, dim and noisy, as in
differential interference contrast. They are made from the fluorescence images of DATA's validation split,
which were never trained on, or from synthetic fields. ``--images`` of them serve for fine-tuning. The others
score the original and the fine-tuned model, on the shifted fields and, to measure forgetting, on the fields
before the shift.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.ndimage import gaussian_filter

from nucbatch.core.settings import NormaliseSettings
from nucbatch.inference.normalise import find_constants, normalise
from nucbatch.networks.checkpoint import load_weights, read_card
from nucbatch.networks.locate import locate
from nucbatch.synthetic import make_field
from nucbatch.training.data import find_data, read_entry
from nucbatch.training.initial_weights import adapt_to_weights
from nucbatch.training.loop import train
from nucbatch.training.recipe import preset
from nucbatch.training.sample import make_sample
from nucbatch.training.validate import validate

Field = tuple[NDArray[np.generic], NDArray[np.integer]]
MOST_JUDGES = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--model", default="default")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--steps", type=int, default=preset("finetune").steps)
    parser.add_argument("--judges", type=int, default=MOST_JUDGES)
    arguments = parser.parse_args()
    fields = real_fields(arguments.data) if arguments.data else synthetic_fields(arguments.images + 10)
    if len(fields) <= arguments.images:
        raise SystemExit(
            f"{len(fields)} fields leave none to judge by beside {arguments.images}: take fewer."
        )
    shifted = [(relief(image, number), labels) for number, (image, labels) in enumerate(fields)]
    judged = slice(arguments.images, arguments.images + arguments.judges)

    start = locate(arguments.model)
    recipe = adapt_to_weights(preset("finetune"), read_card(start)).model_copy(
        update={"steps": arguments.steps}
    )
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch, "lab")
        write_set(data, shifted[: arguments.images])
        began = time.perf_counter()
        weights = train(find_data(data), Path(scratch, "out"), recipe, start=start)
        seconds = time.perf_counter() - began
        report(
            {start.stem: start, "fine-tuned": weights},
            {"shifted": shifted[judged], "as it was": fields[judged]},
            f"{arguments.images} images, {recipe.steps} steps, {seconds:.0f} s",
        )


def relief(image: NDArray[np.generic], number: int) -> NDArray[np.uint16]:
    """A field (Y, X) or (Y, X, 3) as relief (Y, X) uint16: its gradient along a diagonal, dim and noisy."""
    grey = normalise(image, find_constants(image, NormaliseSettings())).mean(axis=0)
    down, right = np.gradient(gaussian_filter(grey, 1.0))
    slope = (down + right) / max(float(np.abs(down + right).max()), 1e-6)
    noise = np.random.default_rng(number).normal(0, 0.04, slope.shape)
    return np.clip(4000 + 900 * (slope + noise), 0, 65535).astype(np.uint16)


def real_fields(data: Path) -> list[Field]:
    """The fluorescence images of a data set's validation split (all images, if modalities are not given)."""
    entries = [entry for entry in find_data(data).split("val") if entry.modality in ("fluorescence", "")]
    return [read_entry(entry) for entry in entries]


def synthetic_fields(count: int) -> list[Field]:
    """Synthetic fields of 256 px."""
    drawn = [make_field(256, np.random.default_rng(number), nuclei=25) for number in range(count)]
    return [(images[0], labels) for images, labels in drawn]


def write_set(folder: Path, fields: list[Field]) -> None:
    """Writes fields as a data set of images and labels."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for number, (image, labels) in enumerate(fields):
        tifffile.imwrite(folder / "images" / f"lab{number:03}.tif", image)
        tifffile.imwrite(folder / "labels" / f"lab{number:03}.tif", labels.astype(np.uint16))


def report(models: dict[str, Path], sets: dict[str, list[Field]], title: str) -> None:
    """Prints each model's scores on each set, with its own card's normalisation and thresholds."""
    table = Table(title=title)
    for column in ("model", "fields", "pixel F1", "object F1 at 0.5", "mean AP"):
        table.add_column(column, justify="left" if column in ("model", "fields") else "right")
    for kind, fields in sets.items():
        for name, path in models.items():
            network, card = load_weights(path)
            samples = [make_sample("", "", image, labels, card.normalise) for image, labels in fields]
            found = validate(network, samples, card.objects)
            figures = (found.pixels.f1, found.objects.f1(0.5), found.objects.mean_ap)
            table.add_row(name, f"{kind} ({len(fields)})", *(f"{value:.3f}" for value in figures))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
