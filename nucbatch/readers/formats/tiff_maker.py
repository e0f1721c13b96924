"""Reads which measurement of Harmony (Operetta, Opera Phenix) a TIFF was made in."""

from __future__ import annotations

import re
from pathlib import Path

import tifffile

from nucbatch.readers.formats.damage import DECODER_ERRORS
from nucbatch.readers.formats.tiff_description import HARMONY_TAG

_IDENTIFIER = re.compile(rb"<MeasurementID>([0-9A-Za-z-]{1,64})</MeasurementID>")


def measurement_of(path: Path) -> str:
    """Returns the measurement's identifier; empty if the file has none or can't be read.

    Damage is found again, and reported, when all headers are read.
    """
    try:
        return _identifier(path)
    except (OSError, *DECODER_ERRORS):
        return ""


def _identifier(path: Path) -> str:
    with path.open("rb") as file, tifffile.TiffFile(file) as tiff:
        value = tiff.pages[0].tags.valueof(HARMONY_TAG)
    found = _IDENTIFIER.search(value if isinstance(value, bytes) else str(value).encode())
    return found[1].decode() if found else ""
