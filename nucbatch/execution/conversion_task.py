"""Tasks of a conversion: each writes a part of an image, or what makes its arrays an image.

The parts of a small image are its time points and z-steps, each with all levels of the pyramid. Those of a
large image are blocks of one level; a level is written after the one above it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import ImageUnavailable, UnreadableImage
from nucbatch.core.plate import Channel, Field
from nucbatch.core.tiles import Box, Grid
from nucbatch.readers.pixels import FieldReader, names_of
from nucbatch.store.atomic import flush_all
from nucbatch.store.display import limits, limits_of, window
from nucbatch.store.image_stack import ImageStack
from nucbatch.store.pyramid import halved_mean, image_pyramid
from nucbatch.store.receipt import Receipt
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.stamps import ImagePaths

_CHUNKS_PER_BLOCK = 2
"""Chunks along each side of a block: whole files, about 4 Mpx."""


@dataclass(frozen=True, slots=True)
class PartTask:
    """Writes one part of an image from its files.

    Attributes:
        key: name of the part, unique in the conversion.
        folder: the conversion's folder.
        stack: the image's arrays.
        reader: reads the plate's files.
        field: the part's field, with the planes of its z-step alone.
        channels: channels of the image.
        at: (t, z) of the part in the image.
        source: digest of all that the image is made of.
        block: (row, column) of the block of the full resolution that is written; None for all of the plane
            and of its pyramid.
    """

    key: str
    folder: RunFolder
    stack: ImageStack
    reader: FieldReader
    field: Field
    channels: tuple[Channel, ...]
    at: tuple[int, int]
    source: str
    block: tuple[int, int] | None = None

    def run(self) -> Receipt:
        """Reads and writes the part.

        Returns:
            The receipt. Its ``lacking`` names the channels that are damaged, whose pixels are not written.
            Its status is "failed" if a file is unavailable.
        """
        try:
            pixels, lost = self._read(self._box)
        except ImageUnavailable as error:
            return failed_part(self.key, str(error))
        corner = self._box.y0, self._box.x0
        written: list[Path] = []
        for level, part in enumerate(image_pyramid(pixels) if self.block is None else [pixels]):
            array = self.stack.part(level, *self.at)
            array.write(part, corner)
            written += array.files(Box(0, 0, *part.shape[-2:]).shifted(*corner))
        return _committed(self.key, self.stack.group, written, self.source, tuple(lost.items()))

    @property
    def _box(self) -> Box:
        if self.block is None:
            return Box(0, 0, self.field.height_px, self.field.width_px)
        return blocks_of(self.stack, 0).box(*self.block)

    def _read(self, box: Box) -> tuple[NDArray[Any], dict[str, str]]:
        """Reads (C, Y, X) of all channels of the image; 0 where the z-step has none or it is damaged."""
        own = names_of(self.field)
        present = [index for index, channel in enumerate(self.channels) if channel.name in own]
        pixels = np.zeros((len(self.channels), *box.shape), self.stack.dtype)
        lost: dict[str, str] = {}
        try:
            channels = tuple(self.channels[index] for index in present)
            pixels[present] = self.reader.read(self.field, channels, box).pixels
        except ImageUnavailable:
            raise
        except UnreadableImage:
            for index in present:
                try:
                    pixels[index] = self.reader.read(self.field, (self.channels[index],), box).pixels[0]
                except ImageUnavailable:
                    raise
                except UnreadableImage as error:
                    lost[self.channels[index].name] = str(error)
        return pixels, lost


@dataclass(frozen=True, slots=True)
class ShrinkTask:
    """Writes one block of a lower level of a large image, from the level above.

    Attributes:
        key: name of the part, unique in the conversion.
        folder: the conversion's folder.
        stack: the image's arrays.
        at: (t, z) of the part in the image.
        source: digest of all that the image is made of.
        level: the level that is written, from 1.
        block: (row, column) of the block.
    """

    key: str
    folder: RunFolder
    stack: ImageStack
    at: tuple[int, int]
    source: str
    level: int
    block: tuple[int, int]

    def run(self) -> Receipt:
        """Writes the block.

        Raises:
            DamagedFile: a file of the level above can't be read.
        """
        above, target = (self.stack.part(level, *self.at) for level in (self.level - 1, self.level))
        box = blocks_of(self.stack, self.level).box(*self.block)
        height, width = above.shape[-2:]
        source = Box(2 * box.y0, 2 * box.x0, min(2 * box.y1, height), min(2 * box.x1, width))
        target.write(halved_mean(above.read(source)), (box.y0, box.x0))
        return _committed(self.key, self.stack.group, target.files(box), self.source)


@dataclass(frozen=True, slots=True)
class DescribeTask:
    """Writes the documents of an image, once its pixels are there.

    Attributes:
        key: the image's group.
        folder: the conversion's folder.
        stack: the image's arrays.
        field: a field of the image, which gives its name, size and position.
        channels: channels of the image.
        shown: time point and z-step whose pixels give the display's contrast.
        source: digest of all that the image is made of.
    """

    key: str
    folder: RunFolder
    stack: ImageStack
    field: Field
    channels: tuple[Channel, ...]
    shown: tuple[int, int]
    source: str

    def run(self) -> Receipt:
        """Writes the documents."""
        smallest = self.stack.part(self.stack.levels - 1, *self.shown)
        pixels = smallest.read(Box(0, 0, *smallest.shape[-2:]))
        whole = np.dtype(self.stack.dtype).kind in "ui"
        written = self.stack.describe() + self.stack.write_attributes(
            self.field,
            self.channels,
            windows=[window(plane) for plane in pixels],
            limits=[limits_of(plane.dtype) if whole else limits(plane) for plane in pixels],
        )
        return _committed(self.key, self.stack.group, written, self.source)


def blocks_of(stack: ImageStack, level: int) -> Grid:
    """Returns the blocks in which a level of a large image is written: whole files, none shared."""
    part = stack.part(level, 0, 0)
    height, width = part.shape[-2:]
    return Grid(height, width, *(side * _CHUNKS_PER_BLOCK for side in part.chunk_px))


def failed_part(key: str, reason: str) -> Receipt:
    """Returns the receipt of a part that could not be written."""
    return Receipt(key, "failed", reason, 0, "", {}, {}, "")


def paths_of(group: Path) -> ImagePaths:
    """Returns the paths of an image's files; a conversion has no label TIFF and no table fragment."""
    return ImagePaths(group, group / "@", group / "@")


def _committed(
    key: str,
    group: Path,
    paths: Iterable[Path],
    source: str,
    lacking: tuple[tuple[str, str], ...] = (),
) -> Receipt:
    """Flushes the files that exist, and returns the receipt; a file whose chunks are all zeros is absent."""
    there = [path for path in paths if path.exists()]
    files, committed_ns = paths_of(group).stamps(there)
    flush_all(there)
    return Receipt(
        key,
        "done",
        "",
        0,
        "",
        {},
        {},
        "",
        source=source,
        names=files.names,
        stamps=files.packed,
        committed_ns=committed_ns,
        lacking=lacking,
    )
