"""CPU time of the quality figures of a field, compared with measuring its nuclei.

    python -m benchmarks.bench_quality [IMAGE] [--size PX] [--rounds N]

Times are CPU seconds of one process, repeated in turn, per Mpx of one channel. Kernels are compiled
beforehand. The last column is the part of the time for measuring.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.fields import field_of
from nucbatch.core.grey_levels import GreyLevels
from nucbatch.core.tiles import Box
from nucbatch.execution.image_statistics import sample_of_image
from nucbatch.features.measure import measure
from nucbatch.features.quality import edges_of, figures_of
from nucbatch.features.quality_figures import sampled_figures
from nucbatch.features.quality_sample import labels_at_corners
from nucbatch.synthetic.field import make_field

GOAL_MS = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("image", type=Path, nargs="?", help="its nuclei are replaced by drawn ones")
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    drawn, labels = make_field(
        arguments.size, np.random.default_rng(0), nuclei=arguments.size**2 // 4500, channels=1
    )
    image = drawn if arguments.image is None else field_of(arguments.image, arguments.size)[np.newaxis]
    labels = labels.astype(np.uint32)
    sample, whole = sample_of_image(image, 0), Box(0, 0, *labels.shape)
    levels, edges = GreyLevels.of(image[0]), edges_of(image[0], whole)
    steps: dict[str, Callable[[], object]] = {
        "count grey levels and edges": lambda: (GreyLevels.of(image[0]), edges_of(image[0], whole)),
        "figures of these": lambda: figures_of(levels, edges),
        "sample blocks": lambda: sample_of_image(image, 0),
        "figures of the sample": lambda: sampled_figures(sample, labels_at_corners(labels), 1000.0),
        "measure nuclei": lambda: measure(labels, image, ["Nuclei"]),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(arguments.rounds + 1):
        for name, step in steps.items():
            began = time.process_time()
            step()
            if turn:  # the first compiles or loads kernels
                seconds[name].append(time.process_time() - began)
    each_ms = {name: 1e9 * statistics.median(times) / labels.size for name, times in seconds.items()}
    table = Table("step", "ms per Mpx", "of measuring")
    for name, value in each_ms.items():
        table.add_row(name, f"{value:.2f}", f"{value / each_ms['measure nuclei']:.0%}")
    console = Console(width=100)
    console.print(table)
    quality = sum(each_ms.values()) - each_ms["measure nuclei"]
    console.print(f"quality in all: {quality:.2f} ms per Mpx; at most {GOAL_MS:g} are wanted")


if __name__ == "__main__":
    main()
