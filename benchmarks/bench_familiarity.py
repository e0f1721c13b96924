"""How well fields are told from those that a model was made with.

    python -m benchmarks.bench_familiarity ../shared/data/dsb2018 ../shared/data/nuclei_more [--plates RUN…]

The detector is fitted anew without one kind of image at a time: each modality, and each part of a data set
that ``--parts`` names by the beginning of its images' names. Drawn kinds are in no fit. The model segments
all images as a run does. Prints the area under the ROC curve between images of the kind and test images of
all others, and the fraction of both that is flagged. For folders of runs it prints how many fields are.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from benchmarks.strange_fields import DRAWN, enlarged
from nucbatch.core.familiarity import Familiarity
from nucbatch.core.settings import RunSettings
from nucbatch.inference.image_figures import figures_of_image
from nucbatch.inference.normalise import find_constants
from nucbatch.inference.predict import forward, grid_of, prepared
from nucbatch.inference.scale import Scale
from nucbatch.inference.segment import require_image, segment_image
from nucbatch.networks.checkpoint import load_weights
from nucbatch.networks.locate import locate
from nucbatch.training.data import Entry, find_data
from nucbatch.training.familiarity_fit import SeenImage, familiarity, seen_images

MOST_OF_A_KIND = 60
DRAWN_OF_A_KIND = 20
GOAL = 0.9


@dataclass(frozen=True)
class Known:
    """A labelled image, and its figures as a run would see them (None without nuclei)."""

    entry: Entry
    kinds: tuple[str, ...]
    found: np.ndarray | None


class Segmenter:
    """Figures of images with the nuclei that a model finds."""

    def __init__(self, model: str) -> None:
        network, self.card = load_weights(locate(model))
        self.network, self.grid = prepared(network), grid_of(network)
        self.scale = Scale.of(
            self.card, RunSettings(normalise=self.card.normalise, objects=self.card.objects)
        )

    def figures(self, pixels: np.ndarray) -> np.ndarray | None:
        """Figures of an image (Y, X) or (Y, X, 3)."""
        image = require_image(pixels)
        constants = find_constants(image, self.card.normalise)
        seen = segment_image(image, constants, self.grid, self._predict, self.card.objects, self.scale)
        return figures_of_image(image, seen.labels)

    def _predict(self, tile: np.ndarray) -> np.ndarray:
        return np.asarray(forward(self.network, tile[np.newaxis])[0])


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--model", default="default")
    parser.add_argument("--parts", nargs="*", default=["mnf"])
    parser.add_argument("--plates", type=Path, nargs="*", default=[])
    asked = parser.parse_args()
    data, segmenter = find_data(asked.data), Segmenter(asked.model)
    fitted = [*data.split("train"), *data.split("val")]
    test = known(data.split("test"), asked.parts, segmenter)
    seen = {one.name: found[0] for one in fitted if (found := seen_images([one]))}
    print("| kind | images | AUROC | flagged | others flagged |")
    print("|---|---|---|---|---|")
    kinds = sorted({kind for entry in fitted for kind in kinds_of(entry, asked.parts)} - {"fluorescence"})
    for kind in kinds:
        rest = [
            seen[one.name] for one in fitted if one.name in seen and kind not in kinds_of(one, asked.parts)
        ]
        its_own = [one for one in fitted if kind in kinds_of(one, asked.parts)]
        chosen = its_own[:: -(-len(its_own) // MOST_OF_A_KIND)]
        unknown = known(chosen, asked.parts, segmenter) + [one for one in test if kind in one.kinds]
        line(kind, rest, [one.found for one in unknown], [one.found for one in test if kind not in one.kinds])
    kept = [one.found for one in test]
    everything = list(seen.values())
    for name, draw in DRAWN.items():
        pictures = (draw(np.random.default_rng(seed)) for seed in range(DRAWN_OF_A_KIND))
        line(name, everything, [segmenter.figures(one) for one in pictures], kept)
    grey = [one.entry for one in test if one.entry.modality == "fluorescence"]
    larger = (enlarged(one.source.read().image) for one in grey[:: -(-len(grey) // DRAWN_OF_A_KIND)])
    line("enlarged 4 times", everything, [segmenter.figures(one) for one in larger], kept)
    for run in asked.plates:
        flags = pd.read_parquet(run / "fields.parquet")["Flags"].fillna("")
        print(f"{run.name}: {flags.str.contains('unfamiliar').sum()} of {len(flags)} fields flagged")


def kinds_of(entry: Entry, parts: Sequence[str]) -> tuple[str, ...]:
    """The kinds that an image belongs to."""
    own = entry.name.rsplit("/", 1)[-1]
    return (entry.modality, *(part for part in parts if own.startswith(part)))


def known(entries: Sequence[Entry], parts: Sequence[str], segmenter: Segmenter) -> list[Known]:
    """Segments labelled images."""
    return [Known(one, kinds_of(one, parts), segmenter.figures(one.source.read().image)) for one in entries]


def line(
    kind: str, made_of: list[SeenImage], unknown: list[np.ndarray | None], kept: list[np.ndarray | None]
) -> None:
    """Prints one row: the kind against the images of others."""
    detector = familiarity(made_of)
    assert detector is not None
    far, near = (scores(detector, some) for some in (unknown, kept))
    truth = np.r_[np.ones(len(far)), np.zeros(len(near))]
    area = roc_auc_score(truth, np.r_[far, near])
    flagged = [f"{(some > detector.limit).mean():.0%}" for some in (far, near)]
    note = "" if area >= GOAL else " (below the goal)"
    print(f"| {kind} | {len(far)} | {area:.3f}{note} | {flagged[0]} | {flagged[1]} |", flush=True)


def scores(detector: Familiarity, figures: list[np.ndarray | None]) -> np.ndarray:
    """Distance of each image that has nuclei."""
    return np.array([detector.distance(one) for one in figures if one is not None])


if __name__ == "__main__":
    main()
