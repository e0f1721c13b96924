"""Masks as label images: TIFF of 16 or 32 bits, or PNG of 16 bits, both written in parts."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

from nucbatch.core.errors import InputError
from nucbatch.core.tiles import Box
from nucbatch.report.exports.run_fields import Masks, is_large, read, whole
from nucbatch.store.atomic import replacing
from nucbatch.store.label_tiff import write_label_tiff, write_large_label_tiff

_ROWS = 512
_LARGEST_PNG_LABEL = 65_535


def write_tiff(path: Path, masks: Masks, largest: int) -> None:
    """Writes a label TIFF; ``largest`` is the largest label.

    Raises:
        StoreError: the masks can't be read, or the file can't be written.
    """
    if is_large(masks):
        shape = masks.shape[0], masks.shape[1]
        write_large_label_tiff(path, lambda box: read(masks, box), shape, largest)
    else:
        write_label_tiff(path, whole(masks))


def write_png(path: Path, masks: Masks, largest: int) -> None:
    """Writes a grey PNG of 16 bits, whose values are the labels.

    Source: PNG specification (ISO/IEC 15948), sections 5 and 9. No row is filtered.

    Raises:
        InputError: labels exceed 16 bits.
        StoreError: the masks can't be read, or the file can't be written.
    """
    if largest > _LARGEST_PNG_LABEL:
        raise InputError(
            f"labels up to {largest:,} don't fit in a PNG, which holds {_LARGEST_PNG_LABEL:,}: export "
            "--labels tiff"
        )
    height, width = masks.shape[0], masks.shape[1]
    with replacing(path, durable=False) as temporary, temporary.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.write(_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)))
        packer = zlib.compressobj(6)
        for top in range(0, height, _ROWS):
            rows = read(masks, Box(top, 0, min(top + _ROWS, height), width)).astype(">u2")
            lines = np.zeros((len(rows), 1 + 2 * width), np.uint8)  # each begins with its filter, 0
            lines[:, 1:] = rows.view(np.uint8).reshape(len(rows), 2 * width)
            if packed := packer.compress(lines.tobytes()):
                file.write(_chunk(b"IDAT", packed))
        file.write(_chunk(b"IDAT", packer.flush()))
        file.write(_chunk(b"IEND", b""))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
