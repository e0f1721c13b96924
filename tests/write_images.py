"""Writes small files of each image format, for the tests of formats and of the layouts made of them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from container_pixels import plane
from numpy.typing import NDArray
from write_czi import write_czi
from write_lif import write_lif
from write_nd2 import write_nd2


def pixels_of(seed: int, shape: tuple[int, int] = (40, 56), dtype: str = "uint16") -> NDArray[Any]:
    """Returns noise, so that a missing or displaced part of an image can't go unnoticed."""
    high = 4000 if dtype == "uint16" else 255
    return np.random.default_rng(seed).integers(1, high, shape).astype(dtype)


def write_tiff(path: Path) -> NDArray[Any]:
    """Writes a TIFF of one plane."""
    pixels = pixels_of(1)
    tifffile.imwrite(path, pixels)
    return pixels


def write_png(path: Path) -> NDArray[Any]:
    """Writes a PNG."""
    pixels = pixels_of(2)
    path.write_bytes(imagecodecs.png_encode(pixels))
    return pixels


def write_jpeg(path: Path) -> NDArray[Any]:
    """Writes a JPEG; returns its pixels as decoded."""
    data = imagecodecs.jpeg8_encode(pixels_of(3, dtype="uint8"), level=95)
    path.write_bytes(data)
    return np.asarray(imagecodecs.jpeg8_decode(data))


def write_c01(path: Path, pixels: NDArray[Any] | None = None, per_metre: int = 775_193) -> NDArray[Any]:
    """Writes Cellomics' bitmap in a zlib stream."""
    pixels = pixels_of(4) if pixels is None else pixels
    height, width = pixels.shape
    bits = 8 * pixels.itemsize
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, 0, per_metre, per_metre, 0, 0)
    body = head + bytes(12) + pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    path.write_bytes(b"\0\0\0\x10" + zlib.compress(body))
    return pixels


def write_pgm(path: Path) -> NDArray[Any]:
    """Writes the picture of the example package."""
    pixels = pixels_of(5, dtype="uint8")
    path.write_bytes(b"P5\n%d %d\n255\n" % pixels.shape[::-1] + pixels.tobytes())
    return pixels


def _write_czi(path: Path) -> NDArray[Any]:
    write_czi(path, scenes=[""], channels=["DAPI"], codec="zstd0")
    return plane()


def _write_lif(path: Path) -> NDArray[Any]:
    write_lif(path, colors=["Gray"])
    return plane()


def _write_nd2(path: Path) -> NDArray[Any]:
    write_nd2(path, channels=["DAPI"])
    return plane()


WRITERS: dict[str, tuple[str, Callable[[Path], NDArray[Any]]]] = {
    "c01": ("a.C01", write_c01),
    "czi": ("a.czi", _write_czi),
    "jpeg": ("a.jpg", write_jpeg),
    "lif": ("a.lif", _write_lif),
    "nd2": ("a.nd2", _write_nd2),
    "pgm": ("a.pgm", write_pgm),
    "png": ("a.png", write_png),
    "tiff": ("a.tif", write_tiff),
}
"""By the format's name: name of a file, and what writes it and returns the pixels of its first plane."""
