"""Writes label images as TIFF for ImageJ, CellProfiler and napari: one page, grey, unsigned.

Pixels have 16 bits where all labels fit, because more programs read that; otherwise 32 bits.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from nucbatch.core.tiles import Box
from nucbatch.store.atomic import cannot_write, replacing, write_bytes

_TILE_PX = 512
_SOFTWARE = "nucbatch"  # distinguishes a run's own files from others in the same folder
_BY_PERSON = "nucbatch view"


def write_label_tiff(path: Path, labels: npt.NDArray[np.uint32], *, by_person: bool = False) -> None:
    """Writes labels (Y, X) uint32 as one deflated page, uint16 if the largest label is below 65,536.

    The same labels give the same bytes. Missing folders are created. ``by_person``: whether a person has
    saved the labels, so that they are no prediction of a run.

    Raises:
        StoreError: the file cannot be written.
    """
    narrow = labels.size == 0 or int(labels.max()) < 2**16
    content = io.BytesIO()
    tifffile.imwrite(
        content,
        labels.astype(np.uint16 if narrow else np.uint32),
        photometric="minisblack",
        compression="zlib",
        software=_BY_PERSON if by_person else _SOFTWARE,
        metadata=None,
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path.parent, error) from error
    write_bytes(path, content.getbuffer(), durable=False)


def write_large_label_tiff(
    path: Path, read: Callable[[Box], npt.NDArray[np.uint32]], shape: tuple[int, int], largest: int
) -> None:
    """Writes labels that do not fit in memory as a tiled, deflated BigTIFF.

    Args:
        path: the file; missing folders are created.
        read: returns the labels (Y, X) uint32 of a box.
        shape: (Y, X) of the image.
        largest: the largest label; below 65,536 the pixels are uint16.

    Raises:
        StoreError: the labels cannot be read or the file cannot be written.
    """
    narrow = np.uint16 if largest < 2**16 else np.uint32
    height, width = shape

    def tiles() -> Iterator[npt.NDArray[Any]]:
        for top in range(0, height, _TILE_PX):
            band = read(Box(top, 0, min(top + _TILE_PX, height), width)).astype(narrow)
            for left in range(0, width, _TILE_PX):
                piece = band[:, left : left + _TILE_PX]
                yield np.pad(piece, [(0, _TILE_PX - piece.shape[0]), (0, _TILE_PX - piece.shape[1])])

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, durable=False) as temporary:
        tifffile.imwrite(
            temporary,
            tiles(),
            shape=(height, width),
            dtype=narrow,
            tile=(_TILE_PX, _TILE_PX),
            bigtiff=True,
            photometric="minisblack",
            compression="zlib",
            software=_SOFTWARE,
            metadata=None,
            maxworkers=1,
        )


def is_label_tiff(path: Path) -> bool:
    """Returns whether the file holds a run's own labels, according to its Software tag."""
    try:
        with tifffile.TiffFile(path) as tiff:
            return bool(tiff.pages.first.software == _SOFTWARE)
    except tifffile.TiffFileError:
        return False
