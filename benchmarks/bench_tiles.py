"""Effect of the tile size: differences in the last bits of probabilities, and in labels.

    python -m benchmarks.bench_tiles IMAGE [--tiles 2048 1024 512]

A run never changes its tiles, which belong to the model. A device with too little memory would need smaller
ones. This measures the differences per gigapixel, and the cost of halos (pixels predicted per pixel kept).
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from nucbatch.inference.normalise import find_constants, normalise
from nucbatch.inference.predict import LARGEST_TILE_PX, forward, grid_of, predict_image, prepared
from nucbatch.masks.objects import find_nuclei
from nucbatch.networks.checkpoint import load_weights
from nucbatch.networks.locate import locate
from nucbatch.readers.pixels import read_image
from nucbatch.scoring.detection import object_counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("image", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--tiles", type=int, nargs="+", default=[LARGEST_TILE_PX, 1024, 512])
    arguments = parser.parse_args()
    network, card = load_weights(locate(arguments.model))
    ready, image = prepared(network), read_image(arguments.image)
    seen = normalise(image, find_constants(image, card.normalise))
    gigapixels = math.prod(image.shape[:2]) / 1e9
    table = Table(title=f"{arguments.image.name}: {image.shape[0]:,} x {image.shape[1]:,} px")
    titles = ("tiles of, px", "seen / kept", "nuclei", "lost or gained / Gpx", "pixels changed / Gpx")
    for column in (*titles, "largest step of a probability"):
        table.add_column(column, justify="right")
    first = None
    for largest_px in arguments.tiles:
        grid = grid_of(network, largest_px, largest_px)
        maps = predict_image(seen, grid, lambda tile: forward(ready, tile[np.newaxis])[0])
        labels = find_nuclei(maps, card.objects)
        first = first or (maps, labels)
        counts = object_counts(first[1], labels)
        missed = counts.fp[0] + counts.fn[0]
        changed = int(((labels > 0) != (first[1] > 0)).sum())
        kept = sum(math.prod(tile.window.shape) for tile in grid.tiles(*image.shape[:2]))
        table.add_row(
            str(largest_px),
            f"{kept / math.prod(image.shape[:2]):.2f}",
            f"{int(labels.max()):,}",
            f"{missed / gigapixels:,.0f}",
            f"{changed / gigapixels:,.0f}",
            str(int(np.abs(maps.astype(np.int16) - first[0]).max())),
        )
    Console().print(table)


if __name__ == "__main__":
    main()
