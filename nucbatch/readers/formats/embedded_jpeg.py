"""Checks JPEG and JPEG 2000 pictures, mostly TIFF tiles, before they are decoded.

Such a tile has its own size and end marker. A decoder allocates memory for the picture's size, so a picture
much larger than its tile is rejected. A decoder also invents missing pixels, so a picture without its end, or
with a hole of whole disk blocks, is rejected. JPEG has no checksum: other damage of pixels can't be found.

Sources: JPEG, ITU-T T.81 (frame header); JPEG 2000, ITU-T T.800 (SIZ).
"""

from __future__ import annotations

import re
import struct

from nucbatch.core.errors import UnreadableImage
from nucbatch.readers.formats.pixel_info import JPEG_SCAN, require_few_scans

JPEG = frozenset({6, 7, 33007, 34892})
_JPEG_2000 = frozenset({33003, 33004, 33005, 34712})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SIZ = b"\xff\x4f\xff\x51"
_END = b"\xff\xd9"  # end marker of both formats
_ZEROS = bytes(16)
_BLOCK, _CHANCE_ZEROS = bytes(512), 2
_NOT_ZERO = re.compile(rb"[^\0]")
_MOST_TIMES, _SMALL_PX = 4, 1 << 24  # writers pad tiles, and small pictures are harmless


def require_ended(compression: int, data: bytes) -> None:
    """Rejects a picture whose end was replaced by zeros; its decoder would fill the rest with grey.

    Raises:
        UnreadableImage: it ends in zeros instead of the end marker.
    """
    if compression in JPEG | _JPEG_2000 and data.endswith(_ZEROS):
        kept = data.rstrip(b"\0")
        if not kept.endswith(_END):
            raise UnreadableImage(
                f"truncated: of the {len(data):,} bytes of a tile or strip the last "
                f"{len(data) - len(kept):,} are zeros, as after an interrupted copy"
            )


def require_no_hole(data: bytes, offset: int = 0) -> None:
    """Rejects a JPEG with blocks of zeros, as a failed disk or an interrupted copy leaves them.

    Zeros alone prove nothing, since a large even area may be stored as such. So both ends of the zeros must
    lie at ends of disk blocks, or just beyond them where the sound bytes beside happen to be zero too.

    Args:
        data: the JPEG.
        offset: its place in the file.

    Raises:
        UnreadableImage: it has such blocks.
    """
    place = data.find(_BLOCK)
    while place >= 0:
        following = _NOT_ZERO.search(data, place)
        stop = following.start() if following else len(data)
        begin, end = offset + place, offset + stop
        if -begin % len(_BLOCK) <= _CHANCE_ZEROS and end % len(_BLOCK) <= _CHANCE_ZEROS:
            raise UnreadableImage(
                f"damaged: bytes {begin:,} to {end:,} of its compressed pixels are zeros, as after a failed "
                "disk or an interrupted copy: copy it again from its source"
            )
        place = data.find(_BLOCK, stop)


def require_fitting(compression: int, data: bytes, height_px: int, width_px: int) -> None:
    """Rejects a picture far larger than its tile or strip, or a JPEG of too many scans.

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
    """Returns (Y, X) of the first frame; None if there is none, which the decoder then reports."""
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, place + 5)
            return height, width
        # Fill bytes, and markers without a length field.
        if marker in (0xFF, 0x01) or 0xD0 <= marker <= 0xD8:
            place += 1 if marker == 0xFF else 2
        else:
            place += 2 + struct.unpack_from(">H", data, place + 2)[0]
    return None


def _jpeg_2000_size(data: bytes) -> tuple[int, int] | None:
    """Returns (Y, X) of the image area on the reference grid."""
    place = data.find(_SIZ)
    if place < 0 or place + 24 > len(data):
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", data, place + 8)
    return bottom - top, right - left
