"""Finds the files of OME-TIFF sets: which file and page holds each plane of each image.

Metadata name the file of a plane by its name and its UUID. A file is used if its name fits and its own UUID
does not contradict it. A renamed file is found by its UUID. If no file's UUID fits, as with writers that
record none, invent them or give all files the same, names alone decide. Every file of a set may repeat the
metadata of the whole set; each image counts once.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from nucbatch.core.errors import UnreadableImage
from nucbatch.readers.formats.ome_files import (
    OmeHead,
    further_planes,
    is_of_set,
    read_companion,
    read_head,
    read_ome_tiff,
)
from nucbatch.readers.formats.ome_model import OmeDocument, OmeSeries, in_colour
from nucbatch.readers.formats.ome_planes import PLANE_BYTES, PlaneKey
from nucbatch.readers.listing import FoundFile, Listing

COMPANION = ".companion.ome"

_FEW_PLANES = 1000
"""Planes of an image up to which nothing is gained by asking whether its files can hold them."""

_ABSOLUTE = re.compile("/|[A-Za-z]:/")

_T = TypeVar("_T")


@dataclass(slots=True, eq=False)
class SetImage:
    """Image of a set, with its planes found.

    Attributes:
        series: its metadata.
        document: path of the file that holds them.
        planes: file and page of each plane that is there.
        places: path and page of each described plane, whether it is there or not.
        missing: reason for each other plane.
        problem: reason why the image cannot be used; empty if it can.
    """

    series: OmeSeries
    document: str
    planes: dict[PlaneKey, tuple[FoundFile, int]] = field(default_factory=dict)
    places: dict[PlaneKey, tuple[str, int]] = field(default_factory=dict)
    missing: dict[PlaneKey, str] = field(default_factory=dict)
    problem: str = ""


@dataclass(slots=True)
class OmeSets:
    """All sets below the input.

    Attributes:
        documents: metadata by the path of their file.
        images: image by the path of its metadata and its identifier; the same value for repeated metadata.
        refused: reason for each file that cannot be used, by path.
    """

    documents: dict[str, OmeDocument] = field(default_factory=dict)
    images: dict[tuple[str, str], SetImage] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def distinct(self) -> list[SetImage]:
        """Lists the images, each once, in the order of the documents."""
        return list({id(image): image for image in self.images.values()}.values())


def heads_of(listing: Listing, paths: Iterable[str]) -> dict[str, OmeHead | str]:
    """Reads the head of each file; a reason instead of those that cannot be read."""
    return {path: _or_reason(listing, path, lambda full, _: read_head(full)) for path in paths}


def any_of_set(listing: Listing, paths: Iterable[str]) -> bool:
    """Returns whether the metadata of one of the files say more than one image a file."""
    found = (_or_reason(listing, path, lambda full, _: is_of_set(full)) for path in paths)
    return any(is_set is True for is_set in found)


def further_pages_of(listing: Listing, used: Mapping[str, set[int]]) -> dict[str, int]:
    """Counts the planes of each file beside its pages in ``used``; files without any are left out."""
    found = {
        path: _or_reason(listing, path, partial(_further_planes, used=pages)) for path, pages in used.items()
    }
    return {path: count for path, count in found.items() if isinstance(count, int) and count}


def _further_planes(path: Path, _: object, used: set[int]) -> int:
    return further_planes(path, used)


def named_files(listing: Listing, companion: str) -> set[str]:
    """Returns the paths of the files that a companion file names; empty if it is damaged."""
    found = _or_reason(listing, companion, read_companion)
    if isinstance(found, str):
        return set()
    sources = (source for image in found.images for source in image.planes.values())
    return {_beside(companion, source.file) for source in sources if source.file}


def read_sets(
    listing: Listing,
    files: Mapping[str, FoundFile],
    companions: Iterable[str],
    heads: Mapping[str, OmeHead | str],
) -> OmeSets:
    """Reads the metadata of all sets and finds their planes.

    Args:
        listing: the files of the input.
        files: all files that planes may lie in, by path.
        companions: paths of companion files.
        heads: of the TIFFs that may hold metadata, by path.
    """
    sets = OmeSets()
    claimed: set[str] = set()
    uuids = _own_uuids(heads)
    for path in companions:
        found = _or_reason(listing, path, read_companion)
        _add(sets, claimed, uuids, files, path, found)
    for path, head in sorted(heads.items()):
        if isinstance(head, str):
            sets.refused[path] = head
        elif path not in claimed and head.has_metadata:
            found = _or_reason(listing, path, read_ome_tiff)
            _add(sets, claimed, uuids, files, path, found)
    _find_planes(sets, _Files(files, uuids, sets.documents), heads)
    for path, document in sets.documents.items():
        if document.metadata_file and path not in claimed:
            place = _beside(path, document.metadata_file)
            sets.refused[path] = f"its metadata are in {document.metadata_file}, which " + (
                "does not name it: restore the file's original name"
                if place in sets.documents
                else "can't be used"
                if place in sets.refused
                else "is not there: copy the whole set"
            )
    return sets


def _own_uuids(heads: Mapping[str, OmeHead | str]) -> dict[str, str]:
    """Returns the UUID of each file. Those that several files share are left out: they tell no file."""
    uuids = {path: head.uuid for path, head in heads.items() if isinstance(head, OmeHead) and head.uuid}
    counts = Counter(uuids.values())
    return {path: uuid for path, uuid in uuids.items() if counts[uuid] == 1}


def _or_reason(listing: Listing, path: str, reads: Callable[[Path, Callable[[], None]], _T]) -> _T | str:
    try:
        return listing.read_in_steps(path, reads)
    except UnreadableImage as error:
        return str(error).removeprefix(f"{path}: ")


def _add(
    sets: OmeSets,
    claimed: set[str],
    uuids: Mapping[str, str],
    files: Mapping[str, FoundFile],
    path: str,
    found: OmeDocument | str,
) -> None:
    """Adds a file's metadata; files that they name and that fit are claimed, and not read as metadata."""
    reason = found if isinstance(found, str) else _impossible_page(found, path, files)
    if reason or isinstance(found, str):
        sets.refused[path] = reason
        return
    sets.documents[path] = found
    for image in found.images:
        for source in image.planes.values():
            place = _beside(path, source.file)
            if not (source.uuid and uuids.get(place, source.uuid) != source.uuid):
                claimed.add(place)


def _impossible_page(document: OmeDocument, path: str, files: Mapping[str, FoundFile]) -> str:
    """Returns a reason if metadata of many planes give pages to a file that is too small to hold them."""
    for image in document.images:
        if len(image.planes) <= _FEW_PLANES:
            continue
        last: dict[str, int] = {}
        for source in image.planes.values():
            last[source.file] = max(source.page, last.get(source.file, 0))
        for name, page in last.items():
            file = files.get(_beside(path, name))
            if file and page > file.size_bytes // PLANE_BYTES:
                return (
                    f"damaged header (its OME-XML gives {file.path} a page {page + 1:,}, but a file of "
                    f"{file.size_bytes:,} bytes holds less): copy the whole set again from its source"
                )
    return ""


def _beside(path: str, name: str) -> str:
    """Returns the path of a file that metadata in ``path`` name; an empty name means the file itself.

    A path outside the input begins with ``..``. Of an absolute path, on the machine that wrote the metadata,
    only the name counts.
    """
    if not name:
        return path
    name = name.replace("\\", "/")
    if _ABSOLUTE.match(name):
        name = posixpath.basename(name)
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), name))


class _Files:
    """Finds files by the name and UUID that metadata give."""

    def __init__(
        self,
        files: Mapping[str, FoundFile],
        uuids: Mapping[str, str],
        documents: Mapping[str, OmeDocument],
    ) -> None:
        self._files, self._uuids = files, uuids
        self._paths = {uuid: path for path, uuid in uuids.items()}
        self._names = {
            path: frozenset(source.file for image in document.images for source in image.planes.values())
            for path, document in documents.items()
            if not path.endswith(COMPANION)
        }
        recorded = {
            (_beside(path, source.file), source.uuid)
            for path, document in documents.items()
            for image in document.images
            for source in image.planes.values()
        }
        self._recorded = {place for place, _ in recorded}
        fitting = sum(1 for place, uuid in recorded if uuid and uuids.get(place) == uuid)
        known = {uuid for _, uuid in recorded} & self._paths.keys()
        self._are_uuids_true = fitting > 0 or len(known) > 1

    def find(self, document: str, name: str, uuid: str) -> FoundFile | str:
        """Returns the file of a plane, or the reason why there is none."""
        place = _beside(document, name)
        own = self._uuids.get(place, "")
        contradicts = self._are_uuids_true and bool(uuid and own) and own != uuid
        if place in self._files and not contradicts:
            return self._files[place]
        renamed = self._paths.get(uuid, "") if uuid else ""
        if renamed in self._files and (self._are_uuids_true or renamed not in self._recorded):
            return self._files[renamed]
        if self._is_renamed(document):
            return self._files[document]
        if document.endswith(COMPANION) and place == document:
            return "its metadata do not name its file"
        if place.startswith("../"):
            return f"{name} leads out of the input"
        if contradicts:
            return f"{name} is another file than the one recorded (their UUIDs differ)"
        return f"{name} is not there"

    def _is_renamed(self, document: str) -> bool:
        """Returns whether a file's metadata name a single file, which is not there: its own earlier name."""
        names = self._names.get(document, frozenset())
        return len(names) == 1 and document in self._files


def _find_planes(sets: OmeSets, files: _Files, heads: Mapping[str, OmeHead | str]) -> None:
    owners: dict[tuple[str, int], tuple[SetImage, PlaneKey]] = {}
    for path, document in sets.documents.items():
        alone = len(document.images) == 1
        for series in document.images:
            image = _found(series, path, files, heads)
            known = [owners[place] for place in image.places.values() if place in owners]
            first = known[0][0] if known else None
            if first and first.document != path and first.places == image.places:
                sets.images[path, series.id] = first  # repeated metadata of one set
                continue
            if series.is_implicit and not alone:
                image.problem = "its metadata do not say which of the file's pages are its planes"
                sets.images[path, series.id] = image
                continue
            for key, place in image.places.items():
                if place in owners:
                    other = owners[place][0]
                    pair = f"{other.series.id} and {series.id}"
                    image.problem = f"two images claim page {place[1]} of {place[0]}: {pair}"
                    other.problem = other.problem or image.problem
                owners[place] = image, key
            sets.images[path, series.id] = image


def _found(series: OmeSeries, document: str, files: _Files, heads: Mapping[str, OmeHead | str]) -> SetImage:
    found = {
        key: files.find(document, source.file or posixpath.basename(document), source.uuid)
        for key, source in series.planes.items()
    }
    first = next((file for file in found.values() if isinstance(file, FoundFile)), None)
    head = heads.get(first.path) if first else None
    if isinstance(head, OmeHead) and head.is_rgb:
        series = in_colour(series)
    image = SetImage(series, document)
    for key in series.expected():
        source = series.planes.get(key)
        if source is None:
            image.missing[key] = "its metadata do not say where it is: not acquired, or lost"
            continue
        file = found[key]
        if isinstance(file, FoundFile):
            image.planes[key] = file, source.page
            image.places[key] = file.path, source.page
        else:
            image.missing[key] = file
            image.places[key] = _beside(document, source.file), source.page
    return image
