"""Reads planes of TIFF, BigTIFF and SVS by box; only the tiles and strips that overlap a box are read.

tifffile parses the pages and decodes segments, but reads whole pages: a box of 512 px of a camera's image in
deflate tiles takes it 6 to 8 times as long (``python -m benchmarks.bench_formats``). So segments are chosen
here.

Uncompressed strips are read directly (``tiff_strips.py``). All others are decoded with tifffile's decoder
of the page, one segment in memory at a time. If a page's samples are channels (``tiff_samples.py``), each
counts as a page. Samples stored as separate planes are combined. YCbCr that no decoder converts (plain
pixels, and Aperio's JPEG 2000, 33003) is converted to RGB. The sign bit of older ScanR files is removed
(``sign_bit.py``). Tiles that were never written are background and are counted (``tiff_sparse.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.tiles import Box
from nucbatch.object_store import StoredBytes, file_size, positioned
from nucbatch.readers.formats.disk_blocks import holes_in_rows
from nucbatch.readers.formats.embedded_jpeg import JPEG, require_ended, require_fitting, require_no_hole
from nucbatch.readers.formats.levels import Level, pyramid_levels
from nucbatch.readers.formats.plane_reader import (
    Cost,
    naming_file,
    require_finite,
    require_inside,
    require_listed,
)
from nucbatch.readers.formats.sign_bit import may_have_sign_bit, without_sign_bit
from nucbatch.readers.formats.tiff_description import pixel_size_um, resolution_of
from nucbatch.readers.formats.tiff_directories import directories_of, tiff_file
from nucbatch.readers.formats.tiff_pages import level_pages
from nucbatch.readers.formats.tiff_samples import WHITE_IS_ZERO, YCBCR, converts, photometric_of, samples_of
from nucbatch.readers.formats.tiff_segments import require_listed_segments
from nucbatch.readers.formats.tiff_sparse import background, was_never_written
from nucbatch.readers.formats.tiff_stream import streams, strip_rows
from nucbatch.readers.formats.tiff_strips import PlainRows, read_exactly
from nucbatch.readers.formats.tiff_vendors import is_stk, stk_planes

_APERIO_YCBCR = 33003


class TiffSource:
    """Open TIFF file; ``shown`` is its name in messages."""

    def __init__(self, path: Path, shown: str) -> None:
        self._shown = shown
        self._file = path.open("rb")
        try:
            with naming_file(shown):
                self._size_bytes = file_size(self._file)
                self._tiff = tiff_file(self._file, directories_of(self._file, self._size_bytes, values=False))
        except UnreadableImage:
            self._file.close()
            raise

    def plane(self, page: int = 0, level: int = 0) -> TiffPlane:
        """See :class:`~nucbatch.readers.formats.plane_reader.ImageSource`."""
        with naming_file(self._shown):
            count = self._count()
            require_listed(self._shown, "page", page, count * self._planes)
            directory, sample = divmod(page, self._planes)
            behind = directory if count > len(self._tiff.pages) else 0
            levels = (
                [self._tiff.pages[0]] if behind else level_pages(self._tiff, directory) if level else None
            )
            require_listed(self._shown, "level", level, len(levels) if levels else 1)
            chosen = levels[level] if levels else self._tiff.pages[directory]
            require_listed_segments(chosen, self._size_bytes)
            signed = may_have_sign_bit(self._tiff.pages[0])
            return TiffPlane(positioned(self._file), chosen.aspage(), self._shown, behind, sample, signed)

    def levels(self, page: int = 0) -> tuple[Level, ...]:
        """See :class:`~nucbatch.readers.formats.plane_reader.ImageSource`."""
        with naming_file(self._shown):
            count = self._count()
            require_listed(self._shown, "page", page, count * self._planes)
            first = self._tiff.pages[0]
            size = pixel_size_um(str(first.description or ""), *resolution_of(first))
            found = (
                [first] if count > len(self._tiff.pages) else level_pages(self._tiff, page // self._planes)
            )
            return pyramid_levels([(int(one.imagelength), int(one.imagewidth)) for one in found], size)

    @property
    def _planes(self) -> int:
        """Number of planes per page: more than one if its samples are channels."""
        return samples_of(self._tiff.pages[0]).planes

    def _count(self) -> int:
        """Returns the number of pages; ImageJ and MetaMorph may store all of them behind one directory."""
        count = len(self._tiff.pages)
        if count == 1 and self._tiff.is_imagej:
            return int((self._tiff.imagej_metadata or {}).get("images", 1))
        return stk_planes(self._tiff) if count == 1 and is_stk(self._tiff) else count

    def close(self) -> None:
        """Closes the file."""
        self._tiff.close()
        self._file.close()


class TiffPlane:
    """Page of a TIFF; see :class:`~nucbatch.readers.formats.plane_reader.PlaneReader`.

    Args:
        file: descriptor of the open file, or the object.
        page: the ``tifffile.TiffPage``.
        shown: name of the file in messages.
        behind: number of pages between the page's own pixels and the wanted ones (ImageJ).
        channel: which of the page's channels, if its samples are channels.
        signed: the stored values may have the sign bit of older ScanR files.
    """

    def __init__(
        self,
        file: int | StoredBytes,
        page: Any,
        shown: str,
        behind: int = 0,
        channel: int = 0,
        signed: bool = False,
    ) -> None:
        self._file, self._page, self._shown = file, page, shown
        self._signed = signed
        self._first: int | None = None
        found = samples_of(page)
        self._used = (found.used[channel],) if found.names else found.used
        self._samples = len(self._used)
        size = int(page.imagelength), int(page.imagewidth)
        if min(size) < 1 or page.dtype is None:
            raise UnreadableImage(f"damaged header ({size[0]} × {size[1]} px of {page.dtype})")
        self.shape: tuple[int, ...] = size if self._samples == 1 else (*size, self._samples)
        self.dtype = np.dtype(page.dtype).newbyteorder("=")
        self.cost = Cost()
        self._white = self._white_level()
        self.unwritten = self._white or 0
        self._separate = page.planarconfig == 2 and page.samplesperpixel > 1
        self._stored_samples = 1 if self._separate else int(page.samplesperpixel)
        tall, wide = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, size[1])
        self._piece = max(1, min(int(tall), size[0])) if not page.is_tiled else int(tall), int(wide)
        self._grid = -(-size[0] // self._piece[0]), -(-size[1] // self._piece[1])
        self._rows = self._plain_rows(behind)
        self.piece_bytes = self._piece[0] * self._piece[1] * self._stored_samples * self.dtype.itemsize
        if self._rows:
            self.piece_bytes = self.dtype.itemsize * self._stored_samples

    def read(self, box: Box) -> NDArray[Any]:
        """See :class:`~nucbatch.readers.formats.plane_reader.PlaneReader`."""
        require_inside(self._shown, self.shape, box)
        with naming_file(self._shown):
            pixels = self._stored(box)
            if self._signed and self._first is None:
                self._first = int(self._stored(Box(0, 0, 1, 1)).flat[0])
            return self._meant(pixels if self._samples > 1 else pixels[..., 0])

    def _stored(self, box: Box) -> NDArray[Any]:
        """Reads the used samples (Y, X, S) as the file stores them."""
        pixels = np.empty((*box.shape, self._samples), self.dtype)
        if not self._rows:
            self._decode(box, pixels)
        for plane, rows in enumerate(self._rows):
            values = rows.read(box, self.cost)
            if self._separate:
                pixels[..., plane] = values[..., 0]
            else:
                pixels[...] = values[..., self._wanted]
        return pixels

    @property
    def _stored_planes(self) -> tuple[int, ...]:
        """Stored planes to read if samples are stored separately; else (0,)."""
        return self._used if self._separate else (0,)

    @property
    def _wanted(self) -> slice:
        """Used samples of a pixel, if samples are interleaved."""
        return slice(self._used[0], self._used[-1] + 1)

    @property
    def streams(self) -> bool:
        """Whether :meth:`stream` supports the page's codec."""
        return streams(self._page)

    def stream(self, band: int) -> Iterator[NDArray[Any]]:
        """Yields all rows from the top as (Y, X, S), ``band`` rows at a time, for strips too large to decode.

        Raises:
            UnreadableImage: damaged or missing bytes; the message names the file.
        """
        with naming_file(self._shown):
            for parts in zip(*(self._stream(plane, band) for plane in self._stored_planes), strict=True):
                pixels = np.concatenate(parts, axis=-1)
                if self._first is None:
                    self._first = int(pixels.flat[0])
                yield self._meant(pixels)

    def _stream(self, plane: int, band: int) -> Iterator[NDArray[Any]]:
        """Yields the rows of one stored plane."""
        waiting: list[NDArray[Any]] = []
        for strip in range(self._grid[0]):
            rows = min(self._piece[0], self.shape[0] - strip * self._piece[0])
            for part in self._strip(plane, strip, rows, band):
                waiting.append(part if self._separate else part[..., self._wanted])
                while sum(map(len, waiting)) >= band:
                    joined = np.concatenate(waiting)
                    yield joined[:band]
                    waiting = [joined[band:]]
        rest = np.concatenate(waiting)
        if len(rest):
            yield rest

    def _strip(self, plane: int, strip: int, rows: int, band: int) -> Iterator[NDArray[Any]]:
        """Yields the rows of one strip of a stored plane, at most ``band`` rows at a time."""
        index = plane * self._grid[0] + strip
        if not was_never_written(self._page, index):
            yield from strip_rows(self._file, self._page, index, rows, band)
            return
        self.cost.missing += 1
        for top in range(0, rows, band):
            values = np.zeros((min(band, rows - top), self.shape[1], self._stored_samples), self.dtype)
            used = slice(None) if self._separate else self._wanted
            values[..., used] = self._background(self._used.index(plane) if self._separate else 0)
            yield values

    def _background(self, place: int) -> NDArray[Any]:
        """Stored background of all used samples, or of the one at ``place`` if they are stored separately."""
        values = background(self._page, self._samples, self.dtype, self._white)
        return values[place : place + 1] if self._separate else values

    def _decode(self, box: Box, pixels: NDArray[Any]) -> None:
        tall, wide = self._piece
        down = range(box.y0 // tall, -(-box.y1 // tall))
        across = range(box.x0 // wide, -(-box.x1 // wide))
        for (place, plane), row, column in product(enumerate(self._stored_planes), down, across):
            index = (plane * self._grid[0] + row) * self._grid[1] + column
            whole = Box(row * tall, column * wide, (row + 1) * tall, (column + 1) * wide)
            part = box.clipped(whole)
            target = pixels[part.within(box)]
            if was_never_written(self._page, index):
                self.cost.missing += 1
                self.cost.unwritten.append((part, 1 if self._separate else self._samples))
                target[..., place if self._separate else slice(None)] = self._background(place)
                continue
            values = self._segment(index, whole)[part.within(whole)]
            if self._separate:
                target[..., place] = values[..., 0]
            else:
                target[...] = values[..., self._wanted]

    def _segment(self, index: int, whole: Box) -> NDArray[Any]:
        """Decodes the tile or strip (Y, X, S) of a box; one at the border may be cut to the image."""
        page = self._page
        if index >= min(len(page.dataoffsets), len(page.databytecounts)):
            raise UnreadableImage(f"truncated: strip or tile {index + 1} is not listed")
        count = int(page.databytecounts[index])
        if not count:
            raise UnreadableImage(f"incomplete: strip or tile {index + 1} has no bytes")
        data = read_exactly(self._file, int(page.dataoffsets[index]), count)
        self.cost.pieces += 1
        self.cost.stored_bytes += count
        require_ended(int(page.compression), data)
        require_fitting(int(page.compression), data, *self._piece)
        tables: dict[str, Any] = {}
        if page.compression in JPEG:
            require_no_hole(data, int(page.dataoffsets[index]))
            tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
        decoded: NDArray[Any] = page.decode(data, index, **tables)[0][0]
        if page.is_tiled and page.compression == 1 and page.predictor == 1:
            samples = 1 if self._separate else self._samples
            holes = holes_in_rows(data, int(page.dataoffsets[index]), whole.shape)
            self.cost.unwritten += [(hole.shifted(whole.y0, whole.x0), samples) for hole in holes]
        return _rgb_of_ycbcr(decoded) if page.compression == _APERIO_YCBCR else decoded

    def _meant(self, pixels: NDArray[Any]) -> NDArray[Any]:
        if photometric_of(self._page) == YCBCR and self._samples == 3 and not converts(self._page):
            pixels = _rgb_of_ycbcr(pixels)
        if self._signed and self._first is not None:
            pixels = without_sign_bit(pixels, self._first)
        if self._white is not None:
            pixels = pixels.dtype.type(self._white) - pixels
        return require_finite(pixels)

    def _white_level(self) -> int | None:
        """Returns the value of a stored 0 if white is zero; None if black is zero."""
        if photometric_of(self._page) != WHITE_IS_ZERO or self.dtype.kind != "u":
            return None
        return int(2 ** min(int(self._page.bitspersample), 8 * self.dtype.itemsize) - 1)

    def _plain_rows(self, behind: int) -> list[PlainRows]:
        """Returns readers of raw rows, one per stored plane; empty if a decoder is needed."""
        page = self._page
        plain = (
            page.compression == 1
            and page.predictor == 1
            and page.fillorder == 1
            and not page.is_subsampled
            and page.bitspersample == 8 * self.dtype.itemsize
        )
        sparse = plain and 0 in page.databytecounts
        if not plain or sparse or (page.is_tiled and not page.is_contiguous):
            if behind:
                raise UnreadableImage("compressed pages behind one directory: save it as OME-TIFF")
            return []
        height, width = self.shape[:2]
        row_bytes = width * self._stored_samples * self.dtype.itemsize
        rows = height if page.is_contiguous else self._piece[0]
        strips = -(-height // rows)
        if page.is_contiguous:
            first = int(page.dataoffsets[0]) + behind * int(page.nbytes)
            planes = int(page.samplesperpixel) if self._separate else 1
            begins = first + np.arange(planes, dtype=np.int64) * (height * row_bytes)
        else:
            begins = np.asarray(page.dataoffsets, np.int64)
        needed = strips * (max(self._stored_planes) + 1)
        if len(begins) < needed:
            raise UnreadableImage(f"truncated: {len(begins)} of {needed} strips are listed")
        dtype = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
        return [
            PlainRows(
                self._file,
                begins[plane * strips : (plane + 1) * strips],
                rows,
                width,
                self._stored_samples,
                dtype,
            )
            for plane in self._stored_planes
        ]


def _rgb_of_ycbcr(pixels: NDArray[Any]) -> NDArray[Any]:
    """Converts uint8 YCbCr (Y, X, 3) to RGB: ITU-R BT.601 with the full range, as in JFIF."""
    luma, blue, red = (pixels[..., sample].astype(np.float32) for sample in range(3))
    blue, red = blue - 128, red - 128
    mixed = (luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue)
    rgb: NDArray[Any] = np.rint(np.clip(np.stack(mixed, axis=-1), 0, 255)).astype(np.uint8)
    return rgb
