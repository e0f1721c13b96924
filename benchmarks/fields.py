"""Inputs of benchmarks: one image, given or drawn, at any size, and plates of any number of fields.

    python -m benchmarks.fields FOLDER

makes the inputs for GPUs: FOLDER/fields1080, FOLDER/fields2160 and FOLDER/large.tif, 1.4 Gpx each.
"""

from __future__ import annotations

import os
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from nucbatch.readers.pixels import read_image
from nucbatch.synthetic import make_field, make_plate

DRAWN_PX = 1024
DRAWN_NUCLEI = 400


def field_of(path: Path | None, size_px: int) -> NDArray[np.generic]:
    """An image (Y, X) or (Y, X, 3) of that size: a file's or a synthetic one, repeated in mirrored tiles."""
    if path is None:
        image = make_field(DRAWN_PX, np.random.default_rng(0), nuclei=DRAWN_NUCLEI, channels=1)[0][0]
    else:
        image = read_image(path)
    missing = [(0, max(0, size_px - side)) for side in image.shape[:2]]
    larger = np.pad(image, missing + [(0, 0)] * (image.ndim - 2), mode="symmetric")
    return np.ascontiguousarray(larger[:size_px, :size_px])


def plate_of(folder: Path, side_px: int, fields: int, wells: int = 24) -> Path:
    """A synthetic plate's folder: two fields per well are drawn, the others are copies under other names."""
    every = [f"{row}{column:02d}" for row in "BCDE" for column in range(2, 8)][: min(wells, fields)]
    sites = -(-fields // len(every))
    folder.parent.mkdir(parents=True, exist_ok=True)
    drawn = make_plate(
        folder, wells=every, sites=min(2, sites), size_px=side_px, truncated=False, thumbnails=False
    )
    for path in list(folder.glob("*.tif")):
        site = int(re.search(r"_s(\d+)_", path.name)[1])
        for more in range(site + 2, sites + 1, 2):
            os.link(path, folder / path.name.replace(f"_s{site}_", f"_s{more}_"))
    (index,) = folder.glob("*.HTD")
    text = re.sub(r'("XSites"), \d+', rf"\1, {sites}", index.read_text())
    flags = ", ".join(["TRUE"] * sites)
    index.write_text(re.sub(r'("SiteSelection1"),.*', rf"\1, {flags}", text))
    return drawn.plate_folder


def large_image(path: Path, side_px: int) -> Path:
    """A tiled BigTIFF of a synthetic field, repeated in mirrored tiles."""
    field = field_of(None, DRAWN_PX)
    twice = np.block([[field, field[:, ::-1]], [field[::-1], field[::-1, ::-1]]])
    row = np.tile(twice, (1, -(-side_px // len(twice))))[:, :side_px]
    tile = 512
    tiles = (
        row[top % len(twice) : top % len(twice) + tile, left : left + tile]
        for top in range(0, side_px, tile)
        for left in range(0, side_px, tile)
    )
    tifffile.imwrite(
        path,
        tiles,
        shape=(side_px, side_px),
        dtype=field.dtype,
        tile=(tile, tile),
        bigtiff=True,
        metadata=None,
    )
    return path


def main(folder: Path) -> None:
    with ProcessPoolExecutor(3) as pool:
        made = [
            pool.submit(plate_of, folder / "fields1080" / "plate", 1080, 1200, 6),
            pool.submit(plate_of, folder / "fields2160" / "plate", 2160, 300, 3),
            pool.submit(large_image, folder / "large.tif", 36_864),
        ]
        for one in made:
            print(one.result())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
