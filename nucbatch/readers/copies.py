"""Recognises copies that an operating system made: ``x (1).tif``, ``x - Copy.tif``, ``Copy of x.tif``.

A copy with the same bytes as its image beside it is ignored by rule. One with other bytes is quarantined,
because it may be an image of its own, unless half of the images have such names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.plate import FileRecord
from nucbatch.object_store import path_in
from nucbatch.readers.listing import FoundFile, Listing
from nucbatch.readers.read_timeout import Beat
from nucbatch.readers.rules import ignored, quarantined

_WORD = "copy|kopie|copie|copia|cópia"
_COPY = re.compile(
    rf"(?:{_WORD})(?: \([0-9]{{1,3}}\))? (?:of|von|de|di) (?P<of>.+)"
    rf"|(?P<before>.+?)(?: ?\([0-9]{{1,3}}\)|[ _-]+(?:{_WORD})(?:[ _]?\(?[0-9]{{1,3}}\)?)?)",
    re.IGNORECASE,
)
_PART_BYTES = 1 << 20
_MOST_COMPARED = 1000
"""Copies that are compared as a whole; of further ones, the first MiB."""


def original_stem(stem: str) -> str:
    """Returns the stem of the image that a name says to be a copy of; empty for other names.

    >>> [original_stem(name) for name in ("x (1)", "x - Copy", "x copy 2", "Copy of x", "x_1")]
    ['x', 'x', 'x', 'x', '']
    """
    match = _COPY.fullmatch(stem)
    return (match["of"] or match["before"]) if match else ""


def without_copies(listing: Listing) -> Listing:
    """Returns the listing without the copies of images beside them; each gets a record."""
    if listing.single:
        return listing
    known = {file.path.casefold(): file for file in listing.images()}
    pairs = [(file, original) for file in known.values() if (original := _original(file, known))]
    if not pairs:
        return listing
    settled: dict[str, FileRecord] = {}
    others: dict[str, str] = {}
    for number, (file, original) in enumerate(pairs):
        try:
            if _same(listing, file, original, whole=number < _MOST_COMPARED):
                settled[file.path] = ignored(file.path, "copy")
            else:
                others[file.path] = f"named as a copy of {original.path}, but not the same"
        except (OSError, UnreadableImage, ValueError):  # perhaps only now: the next session compares again
            others[file.path] = f"named as a copy of {original.path}, but one of them can't be opened"
    if 2 * (len(settled) + len(others)) <= len(known):
        for path, reason in others.items():
            settled[path] = quarantined(path, f"{reason}: rename it if it is an image of its own")
    files = tuple(file for file in listing.files if file.path not in settled)
    records = sorted((*listing.settled, *settled.values()), key=lambda record: record.path)
    return replace(listing, files=files, settled=tuple(records))


def _original(file: FoundFile, known: dict[str, FoundFile]) -> FoundFile | None:
    folder, slash, name = file.path.rpartition("/")
    stem, dot, suffix = name.rpartition(".")
    of = original_stem(stem)
    return known.get(f"{folder}{slash}{of}{dot}{suffix}".casefold()) if of else None


def _same(listing: Listing, one: FoundFile, other: FoundFile, *, whole: bool) -> bool:
    if one.size_bytes != other.size_bytes:
        return False

    def compared(path: Path, beat: Beat) -> bool:
        with path.open("rb") as first, path_in(listing.root, other.path).open("rb") as second:
            for a, b in zip(_parts(first), _parts(second), strict=True):
                beat()
                if a != b:
                    return False
                if not whole:
                    break
        return True

    return listing.read_in_steps(one.path, compared)


def _parts(file: BinaryIO) -> Iterator[bytes]:
    while part := file.read(_PART_BYTES):
        yield part
