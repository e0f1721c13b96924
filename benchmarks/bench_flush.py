"""Cost of flushing a field's files to disk before its receipt is written.

    python -m benchmarks.bench_flush FOLDER          # on the file system that runs will be written to

Writes fields of 1,080 px as a run does, without a network, and prints the time per field. One syncfs, an
fsync of each file, and no flush at all take turns, so that other load on the disk affects all alike.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from nucbatch.core.plate import Channel, Field
from nucbatch.store.atomic import flush_all
from nucbatch.store.fragments import write_fragment
from nucbatch.store.images import write_field
from nucbatch.store.tables import identity_columns
from nucbatch.synthetic import make_field

FIELDS = 40
SIDE_PX = 1080


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path(tempfile.gettempdir()))
    asked = parser.parse_args()
    images, labels = make_field(SIDE_PX, np.random.default_rng(0), nuclei=200, channels=2)
    image = np.stack(images).astype(np.uint16)
    ways: dict[str, Callable[[list[Path]], None]] = {
        "nothing": lambda paths: None,
        "one syncfs": flush_all,
        "fsync of each file and folder": fsync_each,
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory(dir=asked.folder) as scratch:
        for number in range(FIELDS):
            for way, flush in ways.items():
                os.sync()  # so that each way flushes its own files alone
                began = time.perf_counter()
                flush(written(Path(scratch, way.replace(" ", "_")), number, image, labels.astype(np.uint32)))
                seconds[way].append(time.perf_counter() - began)
    table = Table("flushed by", "ms per field, median", "mean", "beside nothing", title=f"In {asked.folder}")
    nothing = statistics.median(seconds["nothing"])
    for way, each in seconds.items():
        median = statistics.median(each)
        table.add_row(
            way, f"{1e3 * median:.1f}", f"{1e3 * statistics.mean(each):.1f}", f"{median / nothing:.2f}"
        )
    Console().print(table)


def written(store: Path, number: int, image: np.ndarray, labels: np.ndarray) -> list[Path]:
    """Writes a field as a task does, and returns its files."""
    field = Field("B03", number, 0, f"B/3/{number}", "x", (), SIDE_PX, SIDE_PX, "uint16")
    channels = [Channel(name, index) for index, name in enumerate(("DAPI", "GFP"))]
    written = write_field(store, field, channels, image, labels)
    table = store / "fragments" / f"{number}.parquet"
    write_fragment(table, identity_columns("P", field, int(labels.max())))
    return [*written, table]


def fsync_each(paths: list[Path]) -> None:
    """Flushes every file by itself."""
    for path in [*paths, *{path.parent for path in paths}]:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


if __name__ == "__main__":
    main()
