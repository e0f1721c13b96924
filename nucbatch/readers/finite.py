"""Checks floating-point images for NaN and infinity before a run, by reading their pixels.

Few images have floating-point pixels, and a run rejects those with NaN or infinity. All of them are read up
to a total size. Beyond it an evenly spaced sample is read, and a remark gives the numbers.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.plate import Field, Plate, field_rows, file_rows
from nucbatch.core.tiles import Box
from nucbatch.readers.names import plural
from nucbatch.readers.pixels import FieldReader, field_channels
from nucbatch.readers.verify_headers import recorded

MOST_BYTES = 1 << 30
_BAND_PX = 2048
_THREADS = 4


def values_checked(plate: Plate, most_bytes: int = MOST_BYTES) -> Plate:
    """Marks fields whose pixels hold NaN or infinity, or cannot be decoded, with a problem.

    Args:
        plate: only its fields of floating-point pixels are read.
        most_bytes: total size up to which all of these fields are read; of more, a sample.
    """
    floats = [field for field in plate.fields if not field.problem and np.dtype(field.dtype).kind == "f"]
    if not floats:
        return plate
    step = max(1, -(-sum(map(_bytes_of, floats)) // most_bytes))
    looked_at = floats[::step]
    with ThreadPoolExecutor(_THREADS) as pool:
        reasons = pool.map(lambda field: _reason(plate, field), looked_at)
        problems = {field.key: reason for field, reason in zip(looked_at, reasons, strict=True) if reason}
    fields = field_rows(
        replace(field, problem=problems[field.key]) if field.key in problems else field
        for field in plate.fields
    )
    faults = {
        plane.path: problems[field.key].removeprefix(f"{plane.path}: ")
        for field in looked_at
        if field.key in problems
        for plane in field.planes
        if problems[field.key].startswith(f"{plane.path}: ")
    }
    remark: tuple[str, ...] = ()
    if step > 1:
        images = plural(len(floats), "floating-point image")
        remark = (f"NaN and infinity were looked for in {len(looked_at):,} of {images}",)
    return replace(
        plate,
        fields=fields,
        files=file_rows(recorded(plate.files, fields, faults)),
        remarks=(*plate.remarks, *remark),
    )


def _bytes_of(field: Field) -> int:
    return len(field.planes) * field.height_px * field.width_px * np.dtype(field.dtype).itemsize


def _reason(plate: Plate, field: Field) -> str:
    """Returns why a field cannot be used once its pixels are read; empty if it can."""
    reader, channels = FieldReader.of(plate), field_channels(plate, field)
    try:
        for top in range(0, field.height_px, _BAND_PX):
            band = Box(top, 0, min(top + _BAND_PX, field.height_px), field.width_px)
            reader.read_box(field, channels, band)
    except UnreadableImage as error:
        return str(error)
    return ""
