"""Over-segmentation of a watershed before and after K-means and the edge map of kmeans-watershed.

    python -m benchmarks.bench_oversegmentation DATA [--every N]

Salman (2006) argues that a watershed of an image makes far too many regions, and that clusters of grey levels
and a map of edge strength leave the right ones. Each row adds one of its steps, on the fluorescence images of
DATA's test split:

1. The watershed of the image's gradient, a region for each of its minima.
2. The same inside the foreground of K-means: regions in the background are gone.
3. Inside that foreground, a region for each flat area of the difference in strength: ``kmeans-watershed``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from skimage.filters import sobel
from skimage.segmentation import watershed

from nucbatch.inference.normalise import find_constants, normalise
from nucbatch.inference.predict import forward, prepared
from nucbatch.masks.objects import find_nuclei
from nucbatch.networks.checkpoint import load_weights
from nucbatch.networks.locate import shipped
from nucbatch.scoring import score_images
from nucbatch.training.data import find_data, read_entry

STEPS = ("watershed of the gradient", "inside the clusters of K-means", "from the edge map's flat areas")
Labels = NDArray[np.int32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--every", type=int, default=1, help="take every Nth image")
    arguments = parser.parse_args()
    entries = [
        entry for entry in find_data(arguments.data).split("test") if entry.modality in ("fluorescence", "")
    ]
    network, card = load_weights(shipped()["kmeans-watershed"])
    ready = prepared(network)
    pairs: dict[str, list[tuple[str, Labels, Labels]]] = {step: [] for step in STEPS}
    for entry in entries[:: arguments.every]:
        image, labels = read_entry(entry)
        seen = normalise(image, find_constants(image, card.normalise))
        maps = forward(ready, np.ascontiguousarray(seen)[np.newaxis])[0]
        grey, foreground = seen.mean(axis=0), maps[0] >= 128
        found = (
            watershed(sobel(grey)),
            watershed(sobel(grey), mask=foreground),
            find_nuclei(maps, card.objects).astype(np.int32),
        )
        for step, regions in zip(STEPS, found, strict=True):
            pairs[step].append((entry.name, labels.astype(np.int32), regions))
    table = Table(title=f"{len(pairs[STEPS[0]])} images")
    for heading in ("", "regions", "per true nucleus", "nuclei in pieces", "merged", "object F1 at 0.5"):
        table.add_column(heading, justify="left" if not heading else "right")
    for step in STEPS:
        figures = score_images(pairs[step]).pooled.figures()
        regions, truth = figures["nuclei_predicted"], figures["nuclei_truth"]
        shown = f"{regions:,}", f"{regions / truth:.2f}", f"{figures['splits']:,}", f"{figures['merges']:,}"
        table.add_row(step, *shown, f"{figures['object_f1_50']:.3f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
