"""Accounts for the rest of OME-TIFF sets: files that hold no field, and pages that no image describes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from nucbatch.core.errors import InputError
from nucbatch.core.escape import printable
from nucbatch.core.plate import FileRecord
from nucbatch.readers.contract import NotThisLayout
from nucbatch.readers.formats.ome_files import OmeHead, is_side_picture
from nucbatch.readers.layouts.ome_fields import Fields
from nucbatch.readers.layouts.ome_sets import COMPANION, OmeSets, SetImage, further_pages_of
from nucbatch.readers.listing import Listing
from nucbatch.readers.rules import ignored, is_image_name, no_image, quarantined

_UNDESCRIBED = (
    "an image, but no OME metadata describe it, and OME-TIFF files lie beside it, whose metadata list the "
    "images: if it is not one of a set, put it into another folder"
)
_OTHERS = "its OME metadata describe other files, not this one: restore its original name"


def require_whole(sets: OmeSets, listing: Listing) -> None:
    """Checks that one TIFF given alone holds several images, and all of them.

    Raises:
        NotThisLayout: it holds one image, or a part of one.
        InputError: it holds several images of a set; the others are in other files.
    """
    own = [image for image in sets.distinct() if image.planes]
    pictures = [image for image in own if not is_side_picture(image.series.name)]
    has_plate = any(document.plates for document in sets.documents.values())
    elsewhere = [image for image in sets.distinct() if image.missing]
    if len(pictures) < 2 and (elsewhere or not has_plate):
        raise NotThisLayout(f"{listing.name} is one image.")
    if elsewhere:
        raise InputError(
            f"{printable(listing.name)} holds {len(own)} of {len(sets.distinct())} images of a set, the "
            "others are in other files: give the folder of the whole set."
        )


def mark_undescribed_pages(sets: OmeSets, listing: Listing) -> None:
    """Marks the images of files with more planes than the metadata describe."""
    used: dict[str, set[int]] = defaultdict(set)
    for image in sets.distinct():
        for file, page in image.planes.values():
            used[file.path].add(page)
    further = further_pages_of(listing, used)
    for image in sets.distinct():
        for path in {file.path for file, _ in image.planes.values()} & further.keys():
            described = len(used[path])
            planes = f"{described:,} planes, {described + further[path]:,} are there"
            image.problem = image.problem or f"{path}: its metadata describe {planes}"


def drop_unacquired(sets: OmeSets) -> None:
    """Takes planes that no metadata describe for not acquired, if all fields and time points lack the same.

    Micro-Manager can leave out the z-stack of a channel. A stopped acquisition lacks planes of one field, or
    of one time point.
    """
    lacking: dict[tuple[int, int, int], set[frozenset[tuple[int, int]]]] = defaultdict(set)
    slices: Counter[tuple[int, int, int]] = Counter()
    for image in sets.distinct():
        sizes = image.series.sizes
        undescribed: dict[int, set[tuple[int, int]]] = {t: set() for t in range(sizes[0])}
        for t, c, z in image.missing.keys() - image.series.planes.keys():
            undescribed[t].add((c, z))
        lacking[sizes].update(map(frozenset, undescribed.values()))
        slices[sizes] += sizes[0]
    for image in sets.distinct():
        sizes = image.series.sizes
        if slices[sizes] < 2 or len(lacking[sizes]) > 1:
            continue
        (unacquired,) = lacking[sizes]
        acquired = {c for c in range(sizes[1]) if any((c, z) not in unacquired for z in range(sizes[2]))}
        for key in image.missing.keys() - image.series.planes.keys():
            if key[1] in acquired:
                del image.missing[key]


def unused_records(
    listing: Listing,
    sets: OmeSets,
    fields: Fields,
    heads: Mapping[str, OmeHead | str],
    other: Sequence[SetImage] = (),
    why: str = "",
) -> list[FileRecord]:
    """Returns the records of all files that hold no plane of a field.

    Args:
        listing: the input.
        sets: its metadata and images.
        fields: its fields.
        heads: as for :func:`~nucbatch.readers.layouts.ome_sets.read_sets`.
        other: images of other acquisitions than the one that is read.
        why: reason for files of images that are no field.
    """
    used = {sighting.file.path for sighting in fields.sightings}
    others = {file.path for image in other for file, _ in image.planes.values()}
    reasons = dict(sets.refused)
    for image in sets.distinct():
        reason = image.problem or "; ".join(dict.fromkeys(image.missing.values())) or why
        for file, _ in image.planes.values():
            reasons.setdefault(file.path, reason)
    records = []
    for file in listing.files:
        path = file.path
        if path in used:
            continue
        head = heads.get(path)
        if path.lower().endswith(COMPANION) and path not in sets.refused:
            records.append(ignored(path, "vendor-metadata"))
        elif path in others:
            records.append(ignored(path, "other-acquisition"))
        elif reasons.get(path):
            records.append(quarantined(path, reasons[path]))
        elif not is_image_name(path):
            records.append(no_image(path))
        elif isinstance(head, OmeHead) and head.has_metadata:
            records.append(quarantined(path, _OTHERS))
        else:
            records.append(quarantined(path, _UNDESCRIBED))
    return records
