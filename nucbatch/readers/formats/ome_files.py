"""Reads OME metadata from files: the head of each TIFF of a set, and the metadata that one of them holds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nucbatch.object_store import file_size
from nucbatch.readers.formats.damage import damaged_header
from nucbatch.readers.formats.installed import format_of
from nucbatch.readers.formats.ome_model import ELEMENTS, HEADS, OmeDocument, document_of
from nucbatch.readers.formats.tiff_directories import directories_of, tiff_file
from nucbatch.readers.formats.tiff_format import Tiff
from nucbatch.readers.formats.tiff_pages import size_of
from nucbatch.readers.formats.tiff_samples import samples_of
from nucbatch.readers.formats.xml_stream import stream_elements, text_elements
from nucbatch.readers.read_timeout import Beat

_UUID = re.compile(r"<(?:\w+:)?OME\b[^>]*?\bUUID\s*=\s*[\"']([^\"']+)")
_FILE_NAME = re.compile(r"\bFileName\s*=\s*[\"'](?:\./)?([^\"']+)")
_PLATE = re.compile(r"<(?:\w+:)?(?:Plate|BinaryOnly)[\s>/]")
_IMAGE = re.compile(r"<(?:\w+:)?Image(\s[^>]*)?>")
_NAME = re.compile(r"\bName\s*=\s*[\"']([^\"']*)")
_SIDE_PICTURE = re.compile(
    r"(?:^|[^A-Za-z])(?:label|macro|thumbnail|overview|barcode)(?:[^A-Za-z]|$)", re.IGNORECASE
)
_ROOT_CHARACTERS = 1 << 14
_MOST_FURTHER_PAGES = 64


@dataclass(frozen=True, slots=True)
class OmeHead:
    """What a TIFF's first page says of OME metadata, without parsing them.

    Attributes:
        has_metadata: its description is OME-XML.
        uuid: of the file, in small letters; empty if not recorded.
        is_rgb: its first page is an RGB picture.
    """

    has_metadata: bool = False
    uuid: str = ""
    is_rgb: bool = False


def is_side_picture(name: str) -> bool:
    """Returns whether an image's name is that of a slide scanner's side picture.

    >>> [is_side_picture(name) for name in ("label image", "Macro", "Labelled cells", "B02")]
    [True, True, False, False]
    """
    return bool(_SIDE_PICTURE.search(name))


def read_head(path: Path) -> OmeHead:
    """Reads the first page of a TIFF; other formats have no OME metadata.

    Raises:
        UnreadableImage: the file cannot be read; the message is the bare reason.
    """
    with _opened(path) as tiff:
        if tiff is None:
            return OmeHead()
        page = tiff.pages[0]
        description = str(page.description or "")
        if "<OME" not in description and ":OME" not in description:
            return OmeHead()
        root = _UUID.search(description[:_ROOT_CHARACTERS])
        return OmeHead(
            True,
            root[1].strip().lower() if root else "",
            samples_of(page).in_picture == 3,
        )


def is_of_set(path: Path) -> bool:
    """Returns whether a TIFF's metadata describe a plate, several images or files, or are in another file.

    Only looks for their words; the metadata are not parsed.

    Raises:
        UnreadableImage: the file cannot be read; the message is the bare reason.
    """
    with _opened(path) as tiff:
        description = "" if tiff is None else str(tiff.pages[0].description or "")
    if _PLATE.search(description) or len(set(_FILE_NAME.findall(description))) > 1:
        return True
    names = [_NAME.search(match[1] or "") for match in _IMAGE.finditer(description)]
    return sum(1 for name in names if name is None or not is_side_picture(name[1])) > 1


def read_ome_tiff(path: Path, beat: Beat) -> OmeDocument:
    """Reads the OME metadata of a TIFF.

    Raises:
        UnreadableImage: there are none, or they are damaged.
    """
    with _opened(path) as tiff:
        description = "" if tiff is None else str(tiff.pages[0].description or "")
    return document_of(text_elements(description, ELEMENTS, heads=HEADS, beat=beat), path.stat().st_size)


def read_companion(path: Path, beat: Beat) -> OmeDocument:
    """Reads a companion file.

    Raises:
        UnreadableImage: it is damaged.
    """
    return document_of(stream_elements(path, ELEMENTS, heads=HEADS, beat=beat), path.stat().st_size)


def further_planes(path: Path, used: set[int]) -> int:
    """Counts the pages of a TIFF that look like planes and are not in ``used``, up to 64.

    Raises:
        UnreadableImage: the file cannot be read.
    """
    with _opened(path) as tiff:
        if tiff is None or len(tiff.pages) <= len(used):
            return 0
        first = tiff.pages[min(used)].aspage()
        others = [number for number in range(len(tiff.pages)) if number not in used][:_MOST_FURTHER_PAGES]
        pages = [tiff.pages[number].aspage() for number in others]
        return sum(
            size_of(page) == size_of(first) and page.dtype == first.dtype and not page.is_reduced
            for page in pages
        )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Opens a TIFF; None for other formats."""
    with damaged_header(), path.open("rb") as file:
        if format_of(file).name != Tiff.name:
            yield None
            return
        with tiff_file(file, directories_of(file, file_size(file))) as tiff:
            yield tiff
