"""Outlines as ImageJ's RoiSet.zip, which Fiji's ROI manager opens: one ROI for each nucleus."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

from nucbatch.core.errors import InputError
from nucbatch.labels.imagej_roi import LONGEST_SIDE_PX, encode
from nucbatch.masks.outlines import Outline
from nucbatch.store.atomic import replacing

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same outlines give the same bytes


def write_roi_set(path: Path, outlines: Iterable[Outline], shape: tuple[int, ...]) -> int:
    """Writes a ZIP of ROIs, named after the labels; returns their number.

    Raises:
        InputError: the image (Y, X) is too large for ROIs.
        StoreError: the file can't be written.
    """
    if max(shape) > LONGEST_SIDE_PX:
        raise InputError(
            f"an image of {shape[1]:,} × {shape[0]:,} px is too large for ImageJ's ROIs, which end at "
            f"{LONGEST_SIDE_PX:,} px: export --outlines geojson"
        )
    count = 0
    with (
        replacing(path, durable=False) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive,
    ):
        for outline in outlines:
            name = f"{outline.label:05d}"
            rings = [ring for part in outline.parts for ring in part]
            archive.writestr(
                zipfile.ZipInfo(f"{name}.roi", _EPOCH), encode(rings, name), zipfile.ZIP_DEFLATED, 6
            )
            count += 1
    return count
