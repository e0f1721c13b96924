"""Single pictures that are decoded as a whole at the first read, and cached: what their formats share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.tiles import Box
from nucbatch.readers.formats.contract import FileFormat
from nucbatch.readers.formats.headers import read_header
from nucbatch.readers.formats.levels import Level, pyramid_levels
from nucbatch.readers.formats.pixel_info import PixelInfo
from nucbatch.readers.formats.plane_reader import Cost, naming_file, require_inside, require_listed


def require_single(page: int | None) -> None:
    """Checks the number of a page of a file that holds a single picture.

    Raises:
        UnreadableImage: it is not 0.
    """
    if page:
        raise UnreadableImage(f"it has no frame {page}: it is a single picture")


def single_headers(
    kind: FileFormat, file: BinaryIO, path: Path, pages: Sequence[int]
) -> list[PixelInfo | str]:
    """Returns the header of a single picture for each of ``pages``, or the reason why there is none."""
    found: list[PixelInfo | str] = []
    for page in pages:
        file.seek(0)
        try:
            found.append(kind.header(file, path, page))
        except UnreadableImage as error:
            found.append(str(error))
    return found


class PictureSource:
    """Single picture, decoded by ``decode`` at the first read of its plane."""

    def __init__(self, path: Path, shown: str, decode: Callable[[bytes], NDArray[Any]]) -> None:
        self._path, self.shown, self._decode = path, shown, decode
        with naming_file(shown):
            self._info = read_header(path)
        size = self._info.height_px, self._info.width_px
        self.shape: tuple[int, ...] = size if self._info.samples == 1 else (*size, self._info.samples)
        self.dtype = np.dtype(self._info.dtype)
        self._pixels: NDArray[Any] | None = None

    def plane(self, page: int = 0, level: int = 0) -> PicturePlane:
        """See :class:`~nucbatch.readers.formats.plane_reader.ImageSource`."""
        require_listed(self.shown, "page", page, 1)
        require_listed(self.shown, "level", level, 1)
        return PicturePlane(self)

    def levels(self, page: int = 0) -> tuple[Level, ...]:
        """See :class:`~nucbatch.readers.formats.plane_reader.ImageSource`."""
        require_listed(self.shown, "page", page, 1)
        return pyramid_levels([(self._info.height_px, self._info.width_px)], self._info.pixel_size_um)

    def close(self) -> None:
        """Releases the pixels; the file is not open between reads."""
        self._pixels = None

    def decoded(self, cost: Cost) -> NDArray[Any]:
        """Returns the pixels (Y, X) or (Y, X, S), decoded once.

        Raises:
            UnreadableImage: the pixels do not match the header.
        """
        if self._pixels is None:
            data = self._path.read_bytes()
            cost.pieces += 1
            cost.stored_bytes += len(data)
            pixels = self._decode(data)
            if pixels.ndim == 3:
                pixels = pixels[..., :3] if len(self.shape) == 3 else pixels[..., 0]
            if pixels.shape != self.shape or pixels.dtype != self.dtype:
                raise UnreadableImage(
                    f"decoded to {pixels.dtype.name} {pixels.shape}, but its header says {self.dtype.name} "
                    f"{self.shape}"
                )
            self._pixels = pixels
        return self._pixels


class PicturePlane:
    """See :class:`~nucbatch.readers.formats.plane_reader.PlaneReader`."""

    def __init__(self, source: PictureSource) -> None:
        self._source = source
        self.shape, self.dtype = source.shape, source.dtype
        self.piece_bytes = math.prod(source.shape) * source.dtype.itemsize
        self.cost = Cost()
        self.unwritten = 0

    def read(self, box: Box) -> NDArray[Any]:
        """See :class:`~nucbatch.readers.formats.plane_reader.PlaneReader`."""
        require_inside(self._source.shown, self.shape, box)
        with naming_file(self._source.shown):
            return self._source.decoded(self.cost)[box.slices]
