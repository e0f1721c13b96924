"""File formats, one file each: open an image file, read its planes by box, and check its header."""

from nucbatch.readers.formats.converted_copy import convert_once
from nucbatch.readers.formats.opening import open_plane, open_source
from nucbatch.readers.formats.plane_reader import Cost, ImageSource, PlaneReader, reads_by_box, whole

__all__ = [
    "Cost",
    "ImageSource",
    "PlaneReader",
    "convert_once",
    "open_plane",
    "open_source",
    "reads_by_box",
    "whole",
]
