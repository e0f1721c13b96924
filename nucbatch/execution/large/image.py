"""A large image as a run sees it: what every unit of work on it must know.

The decision owned here: where everything of one image lies, and on which grid each stage works. Only the
blocks' size is the schedule's; tiles belong to the model, chunks to the image, so neither moves a result.
"""

from __future__ import annotations

import math
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
from nucbatch.store.chunks import Array
from nucbatch.store.folder import inside
from nucbatch.store.images import image_level, label_level
from nucbatch.store.pyramid import level_count
from nucbatch.store.scratch import Scratch, read_values

_CHUNKS_PER_UNIT = 2
"""Along each side: what one task copies, numbers or shrinks at a time, about 4 Mpx. A file has no more."""


@dataclass(frozen=True, slots=True)
class LargeImage(FieldJob):
    """One image of several blocks; pickled with every unit.

    ``zoom``: how many times as large the network sees it. ``outputs``: how many maps the network makes.
    """

    tiles: TileGrid
    outputs: int
    zoom: float
    block_px: int

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X)."""
        return self.field.height_px, self.field.width_px

    @property
    def seen_shape(self) -> tuple[int, int]:
        """(Y, X) as the network sees it."""
        return self.shape if self.zoom == 1 else scaled_shape(self.shape, self.zoom)

    @property
    def scratch(self) -> Scratch:
        """Where it leaves what is not yet a result."""
        return Scratch(inside(self.folder.scratch, self.field.group))

    @property
    def group(self) -> Path:
        """Its OME-Zarr group; in the scratch where the run keeps none."""
        if self.settings.labels == "tiff":
            return self.scratch.path / "image.zarr"
        return inside(self.folder.store(self.is_plate), self.field.group)

    @property
    def blocks(self) -> Grid:
        """The blocks."""
        return block_grid(self.shape, self.block_px)

    @property
    def levels(self) -> int:
        """Levels of the pyramid."""
        return level_count(*self.shape)

    def image(self, level: int = 0) -> Array:
        """One level of the image's pyramid, (C, Y, X)."""
        return image_level(self.group, level, (len(self.channels), *self.shape), self.field.dtype)

    def labels(self, level: int = 0) -> Array:
        """One level of the labels' pyramid, (Y, X)."""
        return label_level(self.group, level, self.shape)

    def maps(self) -> Array:
        """The probabilities, at the scale the network sees."""
        return self.scratch.maps(self.tiles, self.seen_shape, self.outputs)

    def tile_rows(self) -> tuple[int, int]:
        """(rows, columns) of tiles."""
        return len(self.tiles.cuts(self.seen_shape[0])), len(self.tiles.cuts(self.seen_shape[1]))

    def units_of(self, level: int) -> Grid:
        """The parts in which a level of the pyramid is written: whole files, so that no two share one."""
        height, width = self.labels(level).shape
        chunks = self.labels(level).chunk_px
        return Grid(height, width, chunks[0] * _CHUNKS_PER_UNIT, chunks[1] * _CHUNKS_PER_UNIT)

    def seen(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """The channels that the network sees, of pixels (C, Y, X): (C', Y, X) with C' 1 or 3."""
        return pixels if self.channel is None else pixels[self.channel][np.newaxis]

    def rows_for(self, row: int) -> int:
        """How many rows of tiles must be there, from the top, before a row of blocks can begin."""
        bottom = min(self.shape[0], (row + 1) * self.block_px + SUPPORT_PX + 2)
        end = min(self.seen_shape[0], math.ceil(bottom * self.zoom) + 2)
        cuts = self.tiles.cuts(self.seen_shape[0])
        return next(index for index, cut in enumerate(cuts, start=1) if cut[1] >= end)

    def with_files(self, converted: dict[str, str]) -> LargeImage:
        """The same image, some of its planes being read from converted copies, by :func:`plane_key`."""
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
    """What a plane is called in the list of converted files."""
    return f"{plane.path}\n{plane.page}\n{plane.level}"


def surveyed_statistics(image: LargeImage) -> ImageStatistics:
    """What the survey of an image found.

    Raises:
        DamagedFile: it is missing or damaged.
    """
    path = image.scratch.constants
    try:
        info = path.stat()
    except OSError as error:
        raise DamagedFile.at(path, f"can't be read ({error.strerror or error})") from error
    return _read_statistics(path, info.st_mtime_ns, info.st_ino)


@lru_cache(maxsize=8)
def _read_statistics(path: Path, mtime_ns: int, inode: int) -> ImageStatistics:
    values = read_values(path)
    return ImageStatistics(
        Constants(values["low"], values["high"]),
        values["quality"],
        [(start, end) for start, end in values["windows"]],
    )
