"""Plates in OME metadata: joins what several files say of one plate, and gives each field its well and site.

Sites are numbered from 1 in the order of ``WellSample@Index`` in each well. Rows and columns count from 0,
whatever ``RowNamingConvention`` says: it changes names only.
"""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from nucbatch.core.errors import InputError
from nucbatch.core.escape import printable
from nucbatch.core.plate_geometry import plausible_well, row_letters
from nucbatch.readers.formats.ome_model import OmePlate, OmeSample, OmeWell
from nucbatch.readers.layouts.ome_sets import COMPANION, OmeSets, SetImage
from nucbatch.readers.layouts.one_plate import several_plates
from nucbatch.readers.listing import Listing
from nucbatch.readers.names import plural

_Place = tuple[int, int]  # row and column from 0


@dataclass(slots=True)
class PlateSample:
    """Field of a well.

    Attributes:
        well: name of the well.
        site: from 1.
        image: its image; None if it was not acquired.
        reason: why it has no image; empty if it has one.
    """

    well: str
    site: int
    image: SetImage | None
    reason: str = ""


@dataclass(slots=True)
class JoinedPlate:
    """The only plate of the input.

    Attributes:
        name: name or identifier.
        rows: number of rows; 0 if not recorded.
        columns: number of columns; 0 if not recorded.
        acquisition: name of the acquisition that is read; empty if there is only one.
        samples: its fields, by well and site.
        other: images of other acquisitions.
    """

    name: str
    rows: int
    columns: int
    acquisition: str = ""
    samples: list[PlateSample] = field(default_factory=list)
    other: list[SetImage] = field(default_factory=list)


@dataclass(slots=True)
class _Listed:
    sample: OmeSample
    order: int
    image: SetImage | None
    reason: str


def joined_plate(sets: OmeSets, wanted: str, listing: Listing) -> JoinedPlate | None:
    """Returns the plate that the metadata describe; None if they describe none.

    Args:
        sets: the input's metadata and images.
        wanted: acquisition to read; empty for the only one.
        listing: the input.

    Raises:
        InputError: several plates; several acquisitions of which none is chosen; wells beyond plates.
    """
    listed = [
        (path, plate) for path, document in sets.documents.items() for plate in document.plates if plate.wells
    ]
    if not listed:
        return None
    _require_one(listing, sets, listed)
    name, shown = _title(listed[0][1]), printable(listing.name)
    first = listed[0][1]
    plate = JoinedPlate(name, first.rows, first.columns)
    chosen, plate.acquisition = _chosen([one for _, one in listed], wanted, shown)
    wells: dict[_Place, dict[object, _Listed]] = defaultdict(dict)
    for path, one in listed:
        for well in one.wells:
            _add_samples(sets, path, well, wells[well.row, well.column], name)
    for place, samples in sorted(wells.items()):
        well_name = _well(place, shown)
        ordered = sorted(samples.values(), key=lambda one: (_index(one), one.order))
        taken = [one for one in ordered if chosen is None or one.sample.id in chosen]
        plate.samples += [
            PlateSample(well_name, site, one.image, one.reason) for site, one in enumerate(taken, start=1)
        ]
        plate.other += [one.image for one in ordered if one not in taken and one.image]
    return plate


def _require_one(listing: Listing, sets: OmeSets, listed: Sequence[tuple[str, OmePlate]]) -> None:
    """Checks that all files describe one plate: by its name, in one folder.

    Raises:
        InputError: they describe several; the message has the commands that read each alone, if there are.
    """
    documents: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path, plate in listed:
        documents[_title(plate), posixpath.dirname(path)].append(path)
    if len(documents) == 1:
        return
    folders = [folder for _, folder in documents]
    files = [paths[0] for paths in documents.values() if len(paths) == 1 and _stands_alone(sets, paths[0])]
    if len(set(folders)) == len(documents) and "" not in folders:
        raise several_plates(listing, sorted(folders))
    if len(set(files)) == len(documents):
        raise several_plates(listing, sorted(files))
    names = ", ".join(dict.fromkeys(title for title, _ in documents))
    raise InputError(
        f"{printable(listing.name)} holds {len(documents)} plates ({names[:200]}): put the files of each "
        "into a folder of its own, or export each plate alone."
    )


def _stands_alone(sets: OmeSets, path: str) -> bool:
    """Returns whether a file given alone is read as the plate that it describes."""
    images = (image for (document, _), image in sets.images.items() if document == path)
    return path.lower().endswith(COMPANION) or all(
        place == path for image in images for place, _ in image.places.values()
    )


def _title(plate: OmePlate) -> str:
    return plate.name or plate.id or "unnamed"


def _index(listed: _Listed) -> int:
    return 1 << 62 if listed.sample.index is None else listed.sample.index


def _well(place: _Place, shown: str) -> str:
    row, column = place
    name = plausible_well(f"{row_letters(row)}{column + 1}") if row >= 0 and column >= 0 else ""
    if not name:
        raise InputError(
            f"{shown} has a well at Row {row} and Column {column}, counted from 0: rows go from 0 to 31 and "
            "columns from 0 to 47. Correct them in the OME metadata, or export the plate again."
        )
    return name


def _add_samples(sets: OmeSets, path: str, well: OmeWell, known: dict[object, _Listed], plate: str) -> None:
    """Adds the fields that a file lists for a well; other files of the set may list them too."""
    for order, sample in enumerate(well.samples):
        image = sets.images.get((path, sample.image)) if sample.image else None
        reason = ""
        if image is None:
            reason = (
                f"its metadata refer to {sample.image}, which they do not describe"
                if sample.image
                else "its metadata list this field without an image: it was not acquired"
            )
        key: object = sample.id or (sample.index, order)
        other = known.get(key)
        if other is None or (other.image is None and image is not None):
            known[key] = _Listed(sample, order, image, reason)
        elif image is not None and other.image is not image:
            documents = " and ".join(one.document for one in (other.image, image) if one)
            raise InputError(
                f"plate {plate} has two images for one field, described in {documents}: put the files of "
                "each plate into a folder of its own."
            )


def _chosen(plates: list[OmePlate], wanted: str, shown: str) -> tuple[frozenset[str] | None, str]:
    """Returns the fields of the acquisition to read, and its name; None if there is only one acquisition."""
    acquisitions: dict[str, set[str]] = defaultdict(set)
    for plate in plates:
        for name, samples in plate.acquisitions:
            if samples:
                acquisitions[name] |= samples
    if not wanted and len(acquisitions) < 2:
        return None, ""
    lines = "\n".join(f"  {name}: {plural(len(samples), 'field')}" for name, samples in acquisitions.items())
    if wanted in acquisitions:
        return frozenset(acquisitions[wanted]), wanted
    if wanted:
        has = f" It has:\n{lines}" if acquisitions else " It records none."
        raise InputError(f"{shown} has no acquisition {wanted!r}.{has}")
    raise InputError(
        f"{shown} holds {len(acquisitions)} acquisitions, which are not counted together: choose one with "
        f"--acquisition.\n{lines}"
    )
