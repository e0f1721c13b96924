"""PNG and JPEG: formats without windows. They are decoded as a whole at the first read, and kept."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.tiles import Box
from nucbatch.readers.formats.contract import Cost, named, require_inside, require_listed
from nucbatch.readers.formats.headers import kind_of, read_header
from nucbatch.readers.formats.levels import Level, measured


class PictureSource:
    """A PNG or JPEG, decoded at the first read of a window."""

    def __init__(self, path: Path, shown: str) -> None:
        self._path, self.shown = path, shown
        with named(shown):
            self._info = read_header(path)
        size = self._info.height_px, self._info.width_px
        self.shape: tuple[int, ...] = size if self._info.samples == 1 else (*size, self._info.samples)
        self.dtype = np.dtype(self._info.dtype)
        self._pixels: NDArray[Any] | None = None

    def window(self, page: int = 0, level: int = 0) -> PictureWindow:
        """See :class:`~nucbatch.readers.formats.contract.Source`."""
        require_listed(self.shown, "page", page, 1)
        require_listed(self.shown, "level", level, 1)
        return PictureWindow(self)

    def levels(self, page: int = 0) -> tuple[Level, ...]:
        """See :class:`~nucbatch.readers.formats.contract.Source`."""
        require_listed(self.shown, "page", page, 1)
        return measured([(self._info.height_px, self._info.width_px)], self._info.pixel_size_um)

    def close(self) -> None:
        """Lets the pixels go; nothing is open between reads."""
        self._pixels = None

    def decoded(self, cost: Cost) -> NDArray[Any]:
        """(Y, X) or (Y, X, S), decoded once.

        Raises:
            UnreadableImage: not what the header says.
        """
        if self._pixels is None:
            data = self._path.read_bytes()
            cost.pieces += 1
            cost.stored_bytes += len(data)
            decode = imagecodecs.png_decode if kind_of(data[:32]) == "png" else imagecodecs.jpeg8_decode
            pixels: NDArray[Any] = decode(data)
            if pixels.ndim == 3:
                pixels = pixels[..., :3] if len(self.shape) == 3 else pixels[..., 0]
            if pixels.shape != self.shape or pixels.dtype != self.dtype:
                raise UnreadableImage(
                    f"decoded to {pixels.dtype.name} {pixels.shape}, but its header says {self.dtype.name} "
                    f"{self.shape}"
                )
            self._pixels = pixels
        return self._pixels


class PictureWindow:
    """See :class:`~nucbatch.readers.formats.contract.Window`."""

    def __init__(self, source: PictureSource) -> None:
        self._source = source
        self.shape, self.dtype = source.shape, source.dtype
        self.piece_bytes = math.prod(source.shape) * source.dtype.itemsize
        self.cost = Cost()
        self.unwritten = 0

    def read(self, box: Box) -> NDArray[Any]:
        """See :class:`~nucbatch.readers.formats.contract.Window`."""
        require_inside(self._source.shown, self.shape, box)
        with named(self._source.shown):
            return self._source.decoded(self.cost)[box.slices]
