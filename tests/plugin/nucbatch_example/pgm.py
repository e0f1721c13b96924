"""Reads binary PGM pictures: ``P5``, width, height and the largest value as text, then the pixels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import UnreadableImage
from nucbatch.readers.formats.picture import PictureSource, require_single, single_headers
from nucbatch.readers.formats.pixel_info import PixelInfo

_HEADER = re.compile(rb"P5\s+([0-9]+)\s+([0-9]+)\s+([0-9]+)\s")
_HEADER_BYTES = 64


class Pgm:
    """Grey pictures of 8 bits."""

    name = "pgm"
    suffixes = (".pgm",)

    def recognises(self, start: bytes) -> bool:
        """By the first three bytes."""
        return start[:2] == b"P5" and start[2:3].isspace()

    def header(self, file: BinaryIO, path: Path, page: int | None = None) -> PixelInfo:
        """Size and type; the file must be long enough for them."""
        require_single(page)
        data = file.read()
        match = _HEADER.match(data[:_HEADER_BYTES])
        if not match or int(match[3]) > 255:
            raise UnreadableImage("no binary PGM of 8 bits")
        width, height = int(match[1]), int(match[2])
        if len(data) - match.end() < width * height:
            raise UnreadableImage(
                f"truncated: {len(data) - match.end():,} bytes of pixels of {width * height:,}"
            )
        return PixelInfo(height, width, 1, "uint8")

    def page_headers(self, file: BinaryIO, path: Path, pages: Sequence[int]) -> list[PixelInfo | str]:
        """It has one page."""
        return single_headers(self, file, path, pages)

    def open(self, path: Path, shown: str) -> PictureSource:
        """It is decoded as a whole, at the first read."""
        return PictureSource(path, shown, _decode)


def _decode(data: bytes) -> NDArray[Any]:
    match = _HEADER.match(data[:_HEADER_BYTES])
    if not match:
        raise UnreadableImage("no binary PGM")
    width, height = int(match[1]), int(match[2])
    return np.frombuffer(data, np.uint8, width * height, match.end()).reshape(height, width)
