"""``LargeImage``: an image of several blocks, with the paths of its files and the grids of its stages.

Only the block size depends on the schedule. Tiles depend on the model and chunks on the image, so results do
not depend on the block size.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import DamagedFile
from nucbatch.core.plate import Plane
from nucbatch.core.tiles import SUPPORT_PX, Grid, TileGrid, block_grid, scaled_shape
from nucbatch.execution.image_statistics import ImageStatistics
from nucbatch.execution.job import FieldJob
from nucbatch.inference.normalise import Constants
from nucbatch.inference.scale import Fit
from nucbatch.readers.pixels import can_be_left_out
from nucbatch.store.chunks import Array
from nucbatch.store.images import image_level, label_level
from nucbatch.store.pyramid import level_count
from nucbatch.store.run_folder import inside
from nucbatch.store.scratch import Scratch, read_values

_CHUNKS_PER_UNIT = 2
"""Chunks along each side of a unit that one task copies, numbers or shrinks: one file, about 4 Mpx."""


@dataclass(frozen=True, slots=True)
class LargeImage(FieldJob):
    """One image of several blocks; pickled with every unit.

    ``tiles``: the network's tile grid. ``outputs``: number of the network's maps. ``fit``: its scale for
    the network. ``block_px``: side of a block.
    """

    tiles: TileGrid
    outputs: int
    fit: Fit
    block_px: int

    @property
    def zoom(self) -> float:
        """How many times as large the network sees the image."""
        return self.fit.zoom

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X) in px."""
        return self.field.height_px, self.field.width_px

    @property
    def seen_shape(self) -> tuple[int, int]:
        """(Y, X) in px after scaling for the network."""
        return self.shape if self.zoom == 1 else scaled_shape(self.shape, self.zoom)

    @property
    def scratch(self) -> Scratch:
        """The folder of intermediate results."""
        return Scratch(inside(self.folder.scratch, self.field.group))

    @property
    def group(self) -> Path:
        """The OME-Zarr group of the image's copy; in the scratch folder if the run keeps none."""
        if self.settings.copies_images:
            return inside(self.folder.store(self.is_plate), self.field.group)
        return self.scratch.path / "image.zarr"

    @property
    def label_group(self) -> Path:
        """The group into which labels are written; in the scratch folder if they are kept as TIFF alone."""
        return self.group if self.settings.labels == "tiff" else self.places.group

    @property
    def blocks(self) -> Grid:
        """The grid of blocks."""
        return block_grid(self.shape, self.block_px)

    @property
    def levels(self) -> int:
        """Number of levels of the pyramid."""
        return level_count(*self.shape)

    def image(self, level: int = 0) -> Array:
        """Returns one level of the image's pyramid, (C, Y, X)."""
        shape = len(self.channels), *self.shape
        return image_level(self.group, level, shape, self.field.dtype, self.settings.ome_zarr)

    def labels(self, level: int = 0) -> Array:
        """Returns one level of the labels' pyramid, (Y, X)."""
        return label_level(self.label_group, level, self.shape, self.settings.ome_zarr)

    def maps(self) -> Array:
        """Returns the stored probability maps, at the network's scale."""
        return self.scratch.maps(self.tiles, self.seen_shape, self.outputs)

    def tile_rows(self) -> tuple[int, int]:
        """Returns (rows, columns) of the tile grid."""
        return len(self.tiles.cuts(self.seen_shape[0])), len(self.tiles.cuts(self.seen_shape[1]))

    def units_of(self, level: int) -> Grid:
        """Returns the units in which a level of the pyramid is written: whole files, none shared."""
        height, width = self.labels(level).shape
        chunks = self.labels(level).chunk_px
        return Grid(height, width, chunks[0] * _CHUNKS_PER_UNIT, chunks[1] * _CHUNKS_PER_UNIT)

    def seen(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Selects the segmented channels of pixels (C, Y, X): (C', Y, X) with C' 1 or 3."""
        return pixels if self.channel is None else pixels[self.channel][np.newaxis]

    def rows_for(self, row: int) -> int:
        """Returns how many rows of tiles, from the top, a row of blocks needs."""
        bottom = min(self.shape[0], (row + 1) * self.block_px + SUPPORT_PX + 2)
        end = min(self.seen_shape[0], math.ceil(bottom * self.zoom) + 2)
        cuts = self.tiles.cuts(self.seen_shape[0])
        return next(index for index, cut in enumerate(cuts, start=1) if cut[1] >= end)

    def without_damaged(self, damaged: Sequence[str], reason: str) -> LargeImage | None:
        """Returns the image without its damaged channels, or None if it can't be counted without them.

        Everything that was written for the image is removed.
        """
        if not can_be_left_out(damaged, self.channels, self.settings.channel):
            return None
        shutil.rmtree(self.scratch.path, ignore_errors=True)
        shutil.rmtree(self.group, ignore_errors=True)
        return self.without(dict.fromkeys(damaged, reason))

    def with_files(self, converted: dict[str, str]) -> LargeImage:
        """Returns the image with planes replaced by converted copies; ``converted``: paths by plane_key."""
        if not converted:
            return self
        planes = tuple(
            replace(plane, path=converted[key], page=0, level=0, size_bytes=0, mtime_ns=0)
            if (key := plane_key(plane)) in converted
            else plane
            for plane in self.field.planes
        )
        return replace(self, field=replace(self.field, planes=planes))


def plane_key(plane: Plane) -> str:
    """Returns a plane's key in the list of converted files."""
    return f"{plane.path}\n{plane.page}\n{plane.level}"


def surveyed_statistics(image: LargeImage) -> ImageStatistics:
    """Reads the statistics that the survey of an image stored.

    Raises:
        DamagedFile: the file is missing or damaged.
    """
    path = image.scratch.constants
    try:
        info = path.stat()
    except OSError as error:
        raise DamagedFile.at(path, f"can't be read ({error.strerror or error})") from error
    return _read_statistics(path, info.st_mtime_ns, info.st_ino, image.settings.normalise.clips)


@lru_cache(maxsize=8)
def _read_statistics(path: Path, mtime_ns: int, inode: int, clips: bool) -> ImageStatistics:
    values = read_values(path)
    return ImageStatistics(
        Constants(
            values["low"],
            values["high"],
            tuple((light, a, b) for light, a, b in values["centres"]),
            clips=clips,
        ),
        values["quality"],
        [(start, end) for start, end in values["windows"]],
    )
