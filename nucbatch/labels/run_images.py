"""Images of a run's fields: of its OME-Zarr or, with ``--images none``, of the input's files.

Either way the pixels are the same: channels are projected, corrected and left out as in the run, and lower
levels are computed alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import StoreError, UnreadableImage
from nucbatch.core.plate import Channel, Field
from nucbatch.core.tiles import Box
from nucbatch.object_store import ObjectPath
from nucbatch.readers.pixels import FieldReader, field_channels
from nucbatch.readers.plate_cache import plate_as_read
from nucbatch.store.ledger import latest_receipts, read_header
from nucbatch.store.pyramid import halved_mean
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.session_record import read_session
from nucbatch.store.stored_images import read_channels, read_image

_AT_ONCE_BYTES = 2**28
"""Size of the strips in which an image is read that is to be reduced."""


class SourceGone(StoreError):
    """An image that was not copied can't be read where it was."""


@dataclass(frozen=True, slots=True)
class SourceImage:
    """Image of a field in the files of the input.

    Attributes:
        reader: reads these files.
        field: the field.
        channels: the channels that the run has used.
        run: the run's folder, for messages.
    """

    reader: FieldReader
    field: Field
    channels: tuple[Channel, ...]
    run: Path

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return np.dtype(self.field.dtype)

    def shape(self, level: int = 0) -> tuple[int, int, int]:
        """(C, Y, X) of a level: each halves the sides, rounded up."""
        height, width = (-(-side // 2**level) for side in (self.field.height_px, self.field.width_px))
        return len(self.channels), height, width

    def read(self, level: int = 0, box: Box | None = None) -> NDArray[Any]:
        """Reads the pixels (C, Y, X) of a level, or a box of it.

        Raises:
            SourceGone: a file is missing, has changed or can't be read.
        """
        _, height, width = self.shape(level)
        whole = Box(0, 0, height, width)
        place = box.clipped(whole) if box else whole
        if not level:
            return self._pixels(place)
        parts = [self._reduced(level, strip) for strip in self._strips(level, place)]
        return np.concatenate(parts, axis=1)

    def _strips(self, level: int, place: Box) -> Iterator[Box]:
        """Cuts a box of a level into strips whose pixels at full resolution fit into memory."""
        row_bytes = 4**level * (place.x1 - place.x0) * len(self.channels) * self.dtype.itemsize
        rows = max(1, _AT_ONCE_BYTES // max(1, row_bytes))
        for top in range(place.y0, place.y1, rows):
            yield Box(top, place.x0, min(top + rows, place.y1), place.x1)

    def _reduced(self, level: int, place: Box) -> NDArray[Any]:
        step = 2**level
        height, width = self.field.height_px, self.field.width_px
        bottom, right = min(place.y1 * step, height), min(place.x1 * step, width)
        pixels = self._pixels(Box(place.y0 * step, place.x0 * step, bottom, right))
        for _ in range(level):
            pixels = halved_mean(pixels)
        return pixels

    def _pixels(self, box: Box) -> NDArray[Any]:
        try:
            return self.reader.read_box(self.field, self.channels, box)
        except UnreadableImage as error:
            raise SourceGone(
                f"the image of {self.field.name} was not copied (--images none), and can't be read where it "
                f"was: {error}. The files were in {self.reader.root}. If they have been moved, give the "
                f"command of {self.run} again with their new folder."
            ) from error


class RunImages:
    """The images of a run's fields, by their groups (``Metadata_Image``)."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    @cached_property
    def are_copied(self) -> bool:
        """Whether the images are in the run's folder."""
        if isinstance(self._folder.path, ObjectPath):
            return True  # those of a run in a store without copies are not opened
        settings = read_header(self._folder).get("settings", {})
        return bool(settings.get("images", "copy") == "copy")

    def channels(self, group: str) -> list[str]:
        """Names of a field's channels, in the order of its pixels.

        Raises:
            StoreError: the image is missing; SourceGone, if the list of the run's fields is.
        """
        if self.are_copied:
            return read_channels(self._folder, group)
        return [channel.name for channel in self.source(group).channels]

    def read(self, group: str, level: int = 0, box: Box | None = None) -> NDArray[Any]:
        """Reads a field's image (C, Y, X), or a box of it, at one level of its pyramid.

        Raises:
            StoreError: it can't be read; SourceGone, if it should be in the files of the input.
        """
        if self.are_copied:
            return read_image(self._folder, group, level, box)
        return self.source(group).read(level, box)

    def source(self, group: str) -> SourceImage:
        """Returns a field's image in the files of the input.

        Raises:
            SourceGone: the list of the run's fields is missing or damaged.
            StoreError: it has no such field.
        """
        try:
            return self._sources[group]
        except KeyError as error:
            raise StoreError(f"{self._folder.path} has no image {group}.") from error

    @cached_property
    def _sources(self) -> dict[str, SourceImage]:
        plate, session = plate_as_read(self._folder.plate), read_session(self._folder)
        if plate is None or session is None or not session.root:
            raise SourceGone(
                f"{self._folder.path} doesn't say any more where its images are (--images none): "
                f"{self._folder.shown(self._folder.plate)} or {self._folder.shown(self._folder.session)} is "
                "missing or damaged. The same run again writes them."
            )
        reader = FieldReader.of(replace(plate, root=session.root))
        receipts = latest_receipts(self._folder)
        found: dict[str, SourceImage] = {}
        for field in plate.fields:
            lost = dict(receipts[field.key].lacking) if field.key in receipts else {}
            used = field.without(lost)
            found[field.group] = SourceImage(reader, used, field_channels(plate, used), self._folder.path)
        return found
