"""Tiles that are pictures of their own, JPEG or JPEG 2000: they hold their size, and a mark at their end.

A decoder makes room for what the picture says, so a tile whose picture is much larger than the tile is
refused before it is decoded; and it makes up what is missing, so a picture without its end is refused too.
Sources: JPEG, ITU-T T.81 (frame header); JPEG 2000, ITU-T T.800 (SIZ).
"""

from __future__ import annotations

import struct

from nucbatch.core.errors import UnreadableImage
from nucbatch.readers.formats.pixel_info import JPEG_SCAN, require_few_scans

JPEG = frozenset({6, 7, 33007, 34892})
_JPEG_2000 = frozenset({33003, 33004, 33005, 34712})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SIZ = b"\xff\x4f\xff\x51"
_END = b"\xff\xd9"  # of both
_ZEROS = bytes(16)
_MOST_TIMES, _SMALL_PX = 4, 1 << 24  # writers pad; and what is small does no harm


def require_ended(compression: int, data: bytes) -> None:
    """Refuses a picture that zeros have taken the end of: its decoder would fill up the rest with grey.

    Raises:
        UnreadableImage: it ends in zeros, and not behind the mark that ends a picture.
    """
    if compression in JPEG | _JPEG_2000 and data.endswith(_ZEROS):
        kept = data.rstrip(b"\0")
        if not kept.endswith(_END):
            raise UnreadableImage(
                f"truncated: of the {len(data):,} bytes of a tile or strip the last "
                f"{len(data) - len(kept):,} are zeros, as after a copy that broke off"
            )


def require_fitting(compression: int, data: bytes, height_px: int, width_px: int) -> None:
    """Refuses a tile or strip of so many pixels whose picture is far larger, or a JPEG of very many scans.

    Raises:
        UnreadableImage: it is.
    """
    if compression in JPEG:
        require_few_scans(data.count(JPEG_SCAN))
        size = _jpeg_size(data)
    elif compression in _JPEG_2000:
        size = _jpeg_2000_size(data)
    else:
        return
    limit = max(_MOST_TIMES * height_px * width_px, _SMALL_PX)
    if size is not None and size[0] * size[1] > limit:
        raise UnreadableImage(
            f"a tile or strip of {height_px:,} × {width_px:,} px holds a picture of {size[0]:,} × "
            f"{size[1]:,} px; the limit is {limit:,} px: save it again from its source"
        )


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """(Y, X) of the first frame; None where there is none, which its decoder then says."""
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, place + 5)
            return height, width
        # fill bytes, and markers without a length
        if marker in (0xFF, 0x01) or 0xD0 <= marker <= 0xD8:
            place += 1 if marker == 0xFF else 2
        else:
            place += 2 + struct.unpack_from(">H", data, place + 2)[0]
    return None


def _jpeg_2000_size(data: bytes) -> tuple[int, int] | None:
    """(Y, X) of the reference grid's image area."""
    place = data.find(_SIZ)
    if place < 0 or place + 24 > len(data):
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", data, place + 8)
    return bottom - top, right - left
