"""How the shipped model copes with noise, blur, uneven light and other faults of images.

    python -m benchmarks.bench_conditions DATA... [--models default,FILE] [--every N] [--only TEXT]

The fluorescence images of the validation split are scaled so that the ground is 0 and bright nuclei are 1.
Then each condition changes them, and a model segments them with its default settings. A row gives what is
found of the nuclei that people drew, pooled over all images: object F1 at an IoU of 0.5, and found for drawn.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.ndimage import gaussian_filter

import nucbatch as nb
from nucbatch.scoring.detection import object_counts
from nucbatch.scoring.ignore import leave_out
from nucbatch.training.data import find_data

Picture = NDArray[np.float64]
Condition = Callable[[Picture, np.random.Generator], NDArray[Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--models", default="default", help="names or files, with commas between")
    parser.add_argument("--every", type=int, default=1, help="take every Nth image")
    parser.add_argument("--only", default="", help="the conditions whose names contain this")
    arguments = parser.parse_args()
    entries = [entry for entry in find_data(arguments.data).split("val") if entry.modality == "fluorescence"]
    drawn = [entry.source.read() for entry in entries[:: arguments.every]]
    models = arguments.models.split(",")
    table = Table(title=f"{len(drawn)} images")
    table.add_column("condition")
    for model in models:
        table.add_column(f"{Path(model).parent.name or model}: object F1", justify="right")
        table.add_column("found / drawn", justify="right")
    for name, change in CONDITIONS.items():
        if arguments.only in name:
            shown = [cell for model in models for cell in _scores(drawn, change, model)]
            table.add_row(name, *shown)
    Console(width=130).print(table)


def _scores(drawn: list[Any], change: Condition, model: str) -> tuple[str, str]:
    """Object F1 and the ratio of counts of a model under a condition, as text."""
    counts = []
    for at, pixels in enumerate(drawn):
        image = change(_scaled(pixels.image), np.random.default_rng(at))
        found = nb.segment(image, model=model, precision="fp32")
        counted = leave_out(pixels.labels, found, pixels.ignore)
        counts.append(object_counts(counted.truth, counted.pred))
    total = sum(counts[1:], start=counts[0])
    return f"{total.f1():.3f}", f"{total.predicted / total.truth:.2f}"


def _scaled(image: NDArray[Any]) -> Picture:
    """The image (Y, X) with its ground at 0 and bright nuclei at 1; of colours the brightest."""
    grey = image.astype(np.float64) if image.ndim == 2 else image.max(axis=-1).astype(np.float64)
    low, high = np.percentile(grey, [1, 99.8])
    return (grey - low) / max(high - low, 1.0)


def _camera(picture: Picture, ground: float = 2_000, gain: float = 10_000) -> NDArray[np.uint16]:
    return np.clip(np.rint(ground + gain * picture), 0, 65_535).astype(np.uint16)


def _electrons(most: float) -> Condition:
    """Shot noise of so many electrons in a bright nucleus, on a ground of a tenth of it."""

    def change(picture: Picture, rng: np.random.Generator) -> NDArray[Any]:
        electrons = rng.poisson(most * (picture.clip(0) + 0.1)) + rng.normal(0, 0.25, picture.shape)
        return _camera(electrons / most)

    return change


def _noise(deviation: float, reach_px: float = 0.0) -> Condition:
    """Noise of a standard deviation in units of a bright nucleus, smoothed over a distance."""

    def change(picture: Picture, rng: np.random.Generator) -> NDArray[Any]:
        noise = gaussian_filter(rng.normal(size=picture.shape), reach_px)
        return _camera(picture + deviation * noise / noise.std(), ground=6_000)

    return change


def _speckled(depth: float, reach_px: float = 2.0) -> Condition:
    """Grains inside the nuclei, as of chromatin: brightness varies by this standard deviation."""

    def change(picture: Picture, rng: np.random.Generator) -> NDArray[Any]:
        noise = gaussian_filter(rng.normal(size=picture.shape), reach_px)
        return _camera(picture * (1 + depth * noise / noise.std()).clip(0))

    return change


def _from_middle(picture: Picture) -> Picture:
    """Squared distance from the middle, 1 at the corners."""
    rows, columns = (np.linspace(-1, 1, side) for side in picture.shape)
    return (rows[:, np.newaxis] ** 2 + columns**2) / 2


def _jpeg(quality: int) -> Condition:
    def change(picture: Picture, rng: np.random.Generator) -> NDArray[Any]:
        grey = np.clip(10 + 230 * picture, 0, 255).astype(np.uint8)
        return np.asarray(imagecodecs.jpeg_decode(imagecodecs.jpeg_encode(grey, level=quality)))

    return change


def _hot(picture: Picture, rng: np.random.Generator) -> NDArray[Any]:
    return np.where(rng.random(picture.shape) < 0.01, np.uint16(60_000), _camera(picture))


def _clipped(gain: float) -> Condition:
    return lambda picture, rng: np.clip(255 * gain * picture, 0, 255).astype(np.uint8)


def _few_levels(count: int) -> Condition:
    return lambda picture, rng: np.rint(1 + count * picture.clip(0, 1.2)).astype(np.uint8)


CONDITIONS: dict[str, Condition] = {
    "as they are": lambda picture, rng: _camera(picture),
    "30 electrons": _electrons(30),
    "10 electrons": _electrons(10),
    "5 electrons": _electrons(5),
    "noise of 0.1": _noise(0.1),
    "noise of 0.2": _noise(0.2),
    "noise of 0.4": _noise(0.4),
    "noise of 0.05, smoothed over 1 px": _noise(0.05, 1),
    "noise of 0.1, smoothed over 1 px": _noise(0.1, 1),
    "noise of 0.2, smoothed over 1 px": _noise(0.2, 1),
    "noise of 0.1, smoothed over 2 px": _noise(0.1, 2),
    "nuclei speckled by 0.3": _speckled(0.3),
    "nuclei speckled by 0.5": _speckled(0.5),
    "blurred over 2 px": lambda picture, rng: _camera(gaussian_filter(picture, 2)),
    "blurred over 3 px": lambda picture, rng: _camera(gaussian_filter(picture, 3)),
    "gamma 0.5": lambda picture, rng: _camera(picture.clip(0) ** 0.5),
    "gamma 3": lambda picture, rng: _camera(picture.clip(0) ** 3),
    "inverted": lambda picture, rng: _camera(1 - picture, ground=12_000),
    "corners at a tenth of the light": lambda picture, rng: _camera(
        (0.2 + picture) * (1 - 0.9 * _from_middle(picture))
    ),
    "a slope of three nuclei's brightness": lambda picture, rng: _camera(
        picture + np.linspace(0, 3, picture.shape[1])
    ),
    "one pixel in a hundred is hot": _hot,
    "saturated twice": _clipped(2),
    "saturated five times": _clipped(5),
    "10 grey levels": _few_levels(10),
    "4 grey levels": _few_levels(4),
    "JPEG of quality 30": _jpeg(30),
    "JPEG of quality 10": _jpeg(10),
}


if __name__ == "__main__":
    main()
