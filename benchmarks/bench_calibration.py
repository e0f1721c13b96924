"""Confidences and intervals on labelled images that no part of the calibration has seen.

    python -m benchmarks.bench_calibration ../shared/data/dsb2018 ../shared/data/nuclei_more -o figure.png

Prints the expected calibration error of the confidences, and coverage (with its Wilson interval) and median
width of the counts' 90 % intervals, for all images, each kind, and each kind of each data set. Draws the
reliability diagram and the intervals. The images are those of the test split, unless ``--split`` names
another.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from nucbatch.core.calibration import Calibration
from nucbatch.experiment.intervals import Doubt, Span, field_spans
from nucbatch.networks.checkpoint import load_weights
from nucbatch.networks.locate import locate
from nucbatch.training.calibrate import Judged, counted_image, judge_images
from nucbatch.training.data import find_data

BINS = 10


def main() -> None:
    """Measures a model's calibration and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--model", default="default")
    parser.add_argument("--split", default="test")
    parser.add_argument("-o", "--out", type=Path, default=Path("calibration.png"))
    asked = parser.parse_args()
    network, card = load_weights(locate(asked.model))
    if card.calibration is None or card.calibration.interval is None:
        raise SystemExit(f"{asked.model} has no calibration with intervals: nucbatch models calibrate")
    judged = judge_images(network, card, find_data(asked.data).split(asked.split))
    spans = spans_of(card.calibration, judged)
    kinds = ["all", *sorted({one.modality for one in judged}), *sorted({of_set(one) for one in judged})]
    print("| images | number | objects | ECE | coverage | Wilson 95 % | median width | of the count |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in kinds:
        chosen = [place for place, one in enumerate(judged) if kind in ("all", one.modality, of_set(one))]
        print(row(kind, card.calibration, [judged[at] for at in chosen], [spans[at] for at in chosen]))
    draw(card.calibration, judged, spans, asked.out)


def of_set(one: Judged) -> str:
    """The data set that an image is from, and its modality."""
    return f"{one.name.split('/')[0]}, {one.modality}" if "/" in one.name else one.modality


def spans_of(calibration: Calibration, judged: list[Judged]) -> list[Span]:
    """The interval of each image's count."""
    assert calibration.interval is not None
    counted = [counted_image(one, calibration.confidence) for one in judged]
    places = {(str(place), 0): one.found for place, one in enumerate(counted)}
    doubts = {(str(place), 0): Doubt(one.doubt, one.at_border) for place, one in enumerate(counted)}
    return list(field_spans(calibration.interval, places, doubts).values())


def row(kind: str, calibration: Calibration, judged: list[Judged], spans: list[Span]) -> str:
    """One line of the table."""
    chance, truth = pooled(calibration, judged)
    inside = sum(span.ends[0] <= one.nuclei <= span.ends[1] for one, span in zip(judged, spans, strict=True))
    widths = np.array([span.ends[1] - span.ends[0] for span in spans])
    relative = np.median(widths / np.maximum([span.count for span in spans], 1))
    low, high = wilson(inside, len(spans))
    error = calibration_error(chance, truth)
    return (
        f"| {kind} | {len(judged)} | {len(truth)} | {error:.3f} | {inside}/{len(spans)} = "
        f"{inside / len(spans):.3f} | {low:.3f} to {high:.3f} | {np.median(widths):g} | {relative:.0%} |"
    )


def pooled(calibration: Calibration, judged: list[Judged]) -> tuple[np.ndarray, np.ndarray]:
    """Confidence of each object (N,), and whether it is a nucleus (N,)."""
    evidence = np.concatenate([one.evidence for one in judged])
    return calibration.confidence.confidences(evidence), np.concatenate([one.is_nucleus for one in judged])


def calibration_error(chance: np.ndarray, truth: np.ndarray) -> float:
    """Expected calibration error in ten bins of equal width (Guo et al., ICML 2017)."""
    bins = np.minimum((chance * BINS).astype(int), BINS - 1)
    parts = [bins == own for own in np.unique(bins)]
    return float(sum(part.mean() * abs(chance[part].mean() - truth[part].mean()) for part in parts))


def wilson(hits: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % interval of a fraction."""
    share = hits / count
    middle = share + z * z / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return (middle - half) / (1 + z * z / count), (middle + half) / (1 + z * z / count)


def draw(calibration: Calibration, judged: list[Judged], spans: list[Span], path: Path) -> None:
    """Draws the reliability diagram and the intervals of all images."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5))
    chance, truth = pooled(calibration, judged)
    bins = np.minimum((chance * BINS).astype(int), BINS - 1)
    seen = np.unique(bins)
    left.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    left.plot([chance[bins == own].mean() for own in seen], [truth[bins == own].mean() for own in seen], "o-")
    left.set(xlabel="confidence", ylabel="fraction that are nuclei", title="Reliability")
    true = np.array([one.nuclei for one in judged])
    ends = np.array([span.ends for span in spans])
    found = np.array([span.count for span in spans])
    right.errorbar(true, found, yerr=[found - ends[:, 0], ends[:, 1] - found], fmt=".", linewidth=0.7)
    right.plot([0, true.max()], [0, true.max()], color="grey", linewidth=0.8)
    right.set(xlabel="true nuclei", ylabel="found nuclei, with their 90 % interval", title="Counts")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    print(f"Diagrams: {path}")


if __name__ == "__main__":
    main()
