"""Image of up to five axes (t, c, z, y, x) in an OME-Zarr, written one time point and z-step at a time.

Each time point and z-step has files of its own, which hold all of its channels, so that it can be written
alone. The pyramid halves y and x only. Axes t and z are left out where the image has one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nucbatch.core.plate import Channel, Field
from nucbatch.store import ngff
from nucbatch.store.array_document import zarr_2_document, zarr_3_document
from nucbatch.store.atomic import write_bytes
from nucbatch.store.chunks import Array
from nucbatch.store.images import image_level, write_group
from nucbatch.store.pyramid import level_count


@dataclass(frozen=True, slots=True)
class ImageStack:
    """Arrays of an image.

    Attributes:
        group: the image's group.
        shape: (T, C, Z, Y, X).
        dtype: NumPy name of the pixel type.
        version: of OME-Zarr.
    """

    group: Path
    shape: tuple[int, int, int, int, int]
    dtype: str
    version: ngff.Version = "0.5"

    @property
    def axes(self) -> str:
        """Names of the axes that the image has, single letters."""
        times, _, depth, _, _ = self.shape
        return ("t" if times > 1 else "") + "c" + ("z" if depth > 1 else "") + "yx"

    @property
    def levels(self) -> int:
        """Number of levels of the pyramid."""
        return level_count(*self.shape[-2:])

    def part(self, level: int, t: int, z: int) -> Array:
        """Returns the part (C, Y, X) of a level that holds one time point and z-step."""
        flat = self.shape[1], *self.shape[-2:]
        whole = image_level(self.group, level, flat, self.dtype, self.version)
        at = {"t": t, "c": 0, "z": z}
        return replace(whole, leading=tuple(at[axis] for axis in self.axes[:-2]))

    def describe(self) -> list[Path]:
        """Writes the documents of all arrays, and returns their paths.

        Raises:
            StoreError: a file cannot be written.
        """
        return [self._describe(level) for level in range(self.levels)]

    def write_attributes(
        self,
        field: Field,
        channels: Sequence[Channel],
        *,
        windows: Sequence[tuple[float, float]],
        limits: Sequence[tuple[float, float]],
    ) -> list[Path]:
        """Writes the attributes that make the arrays an image, after the pixels; returns the files.

        Args:
            field: a field of the image, with its name, size and position.
            channels: the channels.
            windows: (start, end) grey levels to display per channel.
            limits: (min, max) range of these windows per channel.

        Raises:
            StoreError: a file cannot be written.
        """
        space = ngff.Space.of(field, self.levels)
        attributes = ngff.image_attributes(
            field.name,
            channels,
            space,
            windows=windows,
            limits=limits,
            axes=self.axes,
            version=self.version,
        )
        write_group(self.group, attributes, self.version)
        return [self.group / name for name in ngff.group_files({}, self.version)]

    def _describe(self, level: int) -> Path:
        """Writes a level's document, in which each time point and z-step is a chunk or shard of its own."""
        part = self.part(level, 0, 0)
        lengths = dict(zip("tczyx", (*self.shape[:3], *part.shape[-2:]), strict=True))
        shape = tuple(lengths[axis] for axis in self.axes)
        chunks, shards = (
            tuple(1 if axis in "tz" else sides["cyx".index(axis)] for axis in self.axes)
            for sides in (
                part.chunks,
                tuple(count * side for count, side in zip(part.grid, part.chunks, strict=True)),
            )
        )
        if part.zarr_format == 2:
            document = zarr_2_document(shape, chunks, part.dtype, part.codec)
        else:
            separator = "." if part.is_one_file else "/"
            whole = None if shards == chunks else shards
            document = zarr_3_document(
                shape, chunks, whole, part.dtype, part.codec, tuple(self.axes), separator
            )
        part.path.mkdir(parents=True, exist_ok=True)
        write_bytes(part.document, document, durable=False)
        return part.document

    @property
    def itemsize(self) -> int:
        """Bytes of a pixel."""
        return np.dtype(self.dtype).itemsize
