"""Checks the tiles and strips of TIFF pages: their sizes, their number and where they end."""

from __future__ import annotations

from typing import Any

import numpy as np

from nucbatch.core.errors import UnreadableImage
from nucbatch.readers.formats.pixel_info import require_believable, require_decodable
from nucbatch.readers.formats.tiff_sparse import count_never_written


def require_listed_segments(page: Any, size_bytes: int) -> None:
    """Checks that a page's tiles can be decoded, that all of its tiles or strips are listed, and its size.

    Called for each page before its pixels are read, because levels and further pages are not seen by the
    check of the header. Looks at no single tile.

    Args:
        page: the ``tifffile.TiffPage``.
        size_bytes: size of the file.

    Raises:
        UnreadableImage: the page promises more than there is.
    """
    offsets, counts = page.dataoffsets, page.databytecounts
    tall, wide = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    if page.is_tiled:
        # Integers of Python, because those of NumPy overflow where a size is damaged.
        bits = int(tall) * int(wide) * max(page.imagedepth, 1) * page.samplesperpixel
        bits *= max(int(np.max(page.bitspersample)), 8)
        require_decodable(f"tiles of {tall:,} × {wide:,} px", bits // 8)
    across = -(-page.imagewidth // max(wide, 1))
    down = -(-page.imagelength // max(min(tall, page.imagelength), 1))
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    expected = across * down * planes * max(page.imagedepth, 1)
    contiguous = page.compression == 1 and (page.is_contiguous or not page.is_tiled)
    joined = len(offsets) == len(counts) == 1 and contiguous  # such strips are read as one
    if min(len(offsets), len(counts)) < expected and not joined:
        raise UnreadableImage(f"truncated: {len(offsets):,} of {expected:,} strips or tiles are listed")
    itemsize = max(int(np.max(page.bitspersample)) // 8, 1)
    values = int(page.imagelength) * int(page.imagewidth) * int(page.samplesperpixel)
    require_believable(values * itemsize, size_bytes)


def check_segments(page: Any, size_bytes: int) -> tuple[int, int]:
    """Checks a page's tiles or strips; returns (number never written, number).

    Args:
        page: the ``tifffile.TiffPage``.
        size_bytes: size of the file.

    Raises:
        UnreadableImage: they are not all there.
    """
    require_listed_segments(page, size_bytes)
    offsets, counts = page.dataoffsets, page.databytecounts
    tall, wide = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    # Vectorised, because a slide has millions of tiles.
    begins, sizes = (
        np.asarray(values[: len(counts)], np.uint64) for values in (offsets, counts[: len(offsets)])
    )
    absent = count_never_written(begins, sizes)
    end = max(int(ends.max(initial=0)) for ends in (begins + sizes, begins, sizes))  # a sum may overflow
    if end > size_bytes:
        raise UnreadableImage(
            f"truncated: {size_bytes:,} bytes of at least {end:,}: copy it again from its source"
        )
    if page.compression == 1 and isinstance(page.bitspersample, int) and page.bitspersample % 8 == 0:
        needed = page.imagelength * page.imagewidth * page.samplesperpixel * page.bitspersample // 8
        if absent:
            needed = max(
                0, needed - absent * int(tall) * int(wide) * page.samplesperpixel * page.bitspersample // 8
            )
        if sum(counts) < needed:
            raise UnreadableImage(
                f"truncated: {sum(counts):,} bytes of pixels of {needed:,}: copy it again from its source"
            )
    return absent, len(sizes)
