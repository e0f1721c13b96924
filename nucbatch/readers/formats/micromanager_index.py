"""Reads the list of images in the header of a Micro-Manager stack.

The OME metadata of an acquisition may stand in its first stack alone. Every stack has its own list, which
gives channel, z-step, time and position of each page, and the summary of the acquisition.

Source: https://micro-manager.org/Micro-Manager_File_Formats.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tifffile

from nucbatch.core.errors import UnreadableImage
from nucbatch.object_store import file_size
from nucbatch.readers.formats.damage import damaged_header
from nucbatch.readers.formats.ome_planes import MOST_PLANES, PlaneKey
from nucbatch.readers.formats.tiff_directories import directories_of, tiff_file

_INDEX_OFFSET = 54_773_648  # magic number before the offset of the list


@dataclass(frozen=True, slots=True)
class StackIndex:
    """Pages of a stack.

    Attributes:
        summary: summary of the acquisition.
        pages: page of each plane, for each position by its number.
    """

    summary: dict[str, Any]
    pages: dict[int, dict[PlaneKey, int]]


def read_stack_index(path: Path) -> StackIndex:
    """Reads the list of images of a stack.

    Raises:
        UnreadableImage: it has none, or it names pages that are not there.
    """
    with damaged_header(), path.open("rb") as file:
        start = file.read(12)
        has_index = (
            int.from_bytes(start[8:12], "big" if start.startswith(b"MM") else "little") == _INDEX_OFFSET
        )
        found = tifffile.read_micromanager_metadata(file, {"Summary", "IndexMap"}) if has_index else {}
        rows = found.get("IndexMap")
        if rows is None or not 0 < len(rows) <= MOST_PLANES:
            raise UnreadableImage("it has neither OME metadata nor a list of its images")
        file.seek(0)
        with tiff_file(file, directories_of(file, file_size(file))) as tiff:
            numbers = {int(page.offset): number for number, page in enumerate(tiff.pages)}
    pages: dict[int, dict[PlaneKey, int]] = {}
    for channel, z, t, position, offset in rows.tolist():
        if offset not in numbers:
            raise UnreadableImage(f"truncated: an image of its list, at byte {offset:,}, is not there")
        pages.setdefault(position, {})[t, channel, z] = numbers[offset]
    summary = found.get("Summary")
    return StackIndex(summary if isinstance(summary, dict) else {}, pages)
