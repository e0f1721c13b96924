"""OME-Zarr as input: an image, a folder of images, a collection's series, or an HCS plate (0.4 and 0.5).

Decisions owned here: the metadata say which images there are, and each image's group counts as one file,
however many chunks it has (its path ends in ``/``); a group that only lists images is ignored by the rule
``zarr-group``. What a plate lists and is not there is quarantined; what is there and not listed is ignored by
the rule ``unlisted``. Sites are the images' own numbers where all are numbers (nucbatch's ``2t0`` is site 2,
time point 0), else their place in the well. Channels, z and time points are found with the headers, as those
of a TIFF of several pages. Source: https://ngff.openmicroscopy.org/0.5/.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from nucbatch.errors import InputError, UnreadableImage
from nucbatch.omezarr import (
    GROUP_MARKERS,
    attributes,
    below,
    images_of_well,
    is_group,
    series_of,
    wells_of,
)
from nucbatch.plate import FileRecord, Plate
from nucbatch.readers.assemble import FieldKey, Sighting, assemble
from nucbatch.readers.contract import Example, ReadOptions
from nucbatch.readers.listing import FoundFile, Listing
from nucbatch.readers.names import GREY, plausible_well, row_letters, safe_name, unique_names
from nucbatch.readers.rules import ignored, is_image_name, no_image, quarantined
from nucbatch.readers.unchanged import stamp

_SITE = re.compile(r"([0-9]{1,9})(?:t([0-9]{1,9}))?")
_ARRAY_MARKERS = ("zarr.json", ".zarray")


@dataclass(slots=True)
class _Wells:
    """What a plate lists: (well, its images' names) and their paths below the input."""

    images: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    gaps: dict[FieldKey, str] = field(default_factory=dict)
    records: list[FileRecord] = field(default_factory=list)


class OmeZarrReader:
    """Zarr stores that are OME-Zarr."""

    name = "omezarr"
    priority = 25
    example = Example(
        {
            **{f"p.zarr/{well}/{image}": None for well in ("A/1", "B/12") for image in "01"},
            "notes.csv": b"a,b",
        }
    )

    def recognise(self, listing: Listing) -> bool:
        """There is a Zarr store, and no other image."""
        return bool(listing.stores()) and not listing.images()

    def read(self, listing: Listing, options: ReadOptions) -> Plate:
        """The plate, or the images as a collection in the order of their paths.

        Raises:
            InputError: no Zarr store, no OME-Zarr in it, several plates, or a plate and other images.
        """
        stores = listing.stores()
        if not stores:
            raise InputError(f"{listing.name} holds no Zarr store: --layout {self.name} needs one.")
        records = [
            ignored(file.path, "beside-zarr") if is_image_name(file.path) else no_image(file.path)
            for file in listing.files
        ]
        kinds: dict[str, list[str]] = {}
        for store in stores:
            try:
                kinds[store] = _images_of(Path(listing.root), store)
            except UnreadableImage as error:
                if len(stores) == 1:
                    raise InputError(
                        f"{store.rstrip('/')} can't be used: {error}. Give an OME-Zarr image or plate."
                    ) from error
                records.append(quarantined(store, str(error)))
        rest = replace(listing, settled=tuple(one for one in listing.settled if one.path not in stores))
        plates = [store for store, images in kinds.items() if not images]
        if not plates:
            return self._collection(rest, kinds, records)
        if len(kinds) > 1:
            listed = "\n".join(f"  {listing.root}/{store}".rstrip("/") for store in kinds)
            raise InputError(
                f"{listing.name} holds {len(plates)} OME-Zarr plates among {len(kinds)} stores. Run each "
                f"alone:\n{listed}"
            )
        return self._plate(rest, plates[0], records)

    def _collection(self, listing: Listing, kinds: dict[str, list[str]], records: list[FileRecord]) -> Plate:
        paths = sorted(path for images in kinds.values() for path in images)
        records += [ignored(store, "zarr-group") for store in kinds if store not in paths]
        titles = {path: _title(path) for path in paths}
        names = unique_names(titles.values())
        return assemble(
            listing,
            name=safe_name(listing.name.removesuffix(".zarr")),
            layout=self.name,
            sightings=[
                Sighting(_found(listing.root, path), GREY, site=site)
                for site, path in enumerate(paths, start=1)
            ],
            records=records,
            channels=[GREY] if paths else [],
            labels={site: names[titles[path]] for site, path in enumerate(paths, start=1)},
        )

    def _plate(self, listing: Listing, store: str, records: list[FileRecord]) -> Plate:
        root = Path(listing.root, store)
        wells = _wells(root, store)
        listed = {path for images in wells.images.values() for _, path in images}
        on_disk = {store + path for path in _groups(root)}
        records += [ignored(store, "zarr-group"), *wells.records]
        records += [ignored(path, "unlisted") for path in sorted(on_disk - listed)]
        sightings = [
            Sighting(_found(listing.root, path), GREY, well, site, t)
            for well, images in wells.images.items()
            for (_, path), (site, t) in zip(images, _sites(wells, well), strict=True)
        ]
        name = str(attributes(root).get("plate", {}).get("name") or "")
        return assemble(
            listing,
            name=name or safe_name(listing.name.removesuffix(".zarr")),
            layout=self.name,
            sightings=sightings,
            records=records,
            channels=[GREY] if sightings else [],
            gaps=wells.gaps,
        )


def _images_of(root: Path, store: str) -> list[str]:
    """The paths of a store's images; none where it is a plate.

    Raises:
        UnreadableImage: it is neither.
    """
    place = root / store
    found = attributes(place)
    if "plate" in found:
        return []
    if "multiscales" in found:
        return [store]
    names = images_of_well(found) if "well" in found else series_of(place)
    if not names:  # a group of images that lists none
        names = [child.name for child in sorted(place.iterdir()) if "multiscales" in _shown_by(child)]
    if not names:
        raise UnreadableImage("a Zarr without an image, plate or series of OME-Zarr")
    for name in names:
        below(place, name)
    return [f"{store}{name}/" for name in names]


def _shown_by(group: Path) -> dict[str, object]:
    try:
        return attributes(group) if is_group(group) else {}
    except UnreadableImage:
        return {}  # nothing lists it as an image, so it is none


def _title(path: str) -> str:
    """What unique_names makes a name of; a number, as of bioformats2raw, goes with its store's name."""
    parts = path.rstrip("/").split("/")
    last = parts[-1]
    if last.isdecimal() and len(parts) > 1:
        parts[-1] = f"{parts[-2].removesuffix('.zarr')}_{last}"
    return "/".join(parts) if last.endswith(".zarr") else "/".join(parts) + ".zarr"


def _wells(root: Path, store: str) -> _Wells:
    wells = _Wells()
    try:
        listed = wells_of(attributes(root))
    except UnreadableImage as error:
        raise InputError(f"{store.rstrip('/')} is no plate that can be read: {error}.") from error
    for path in listed:
        row, _, column = path.partition("/")
        well = plausible_well(row_letters(row) + column)
        shown = f"{store}{path}/"
        if not well:
            wells.records.append(quarantined(shown, f"{path!r} is no well (A/1 to AF/48)"))
            continue
        try:
            place = below(root, path)
            images = images_of_well(attributes(place))
            for image in images:
                below(place, image)
        except UnreadableImage as error:
            wells.gaps[well, 1, 0] = f"{shown}: {error}"
            wells.records.append(quarantined(shown, str(error)))
            continue
        wells.images.setdefault(well, []).extend((image, f"{shown}{image}/") for image in images)
        if not images:
            wells.gaps[well, 1, 0] = f"no image: {shown} lists none"
    return wells


def _sites(wells: _Wells, well: str) -> Iterator[tuple[int, int]]:
    """(site, t) of each image of a well."""
    names = [name for images in wells.images.values() for name, _ in images]
    matches = {name: _SITE.fullmatch(name) for name in names}
    numbered = all(matches.values())
    first = min((int(match[1]) for match in matches.values() if match), default=1)
    for place, (name, _) in enumerate(wells.images[well], start=1):
        match = matches[name]
        if numbered and match:
            yield int(match[1]) + (1 if first < 1 else 0), int(match[2] or 0)
        else:
            yield place, 0


def _groups(root: Path) -> Iterator[str]:
    """Groups three levels below a plate's, where its images lie."""
    for row in _folders(root):
        for column in _folders(row):
            for image in _folders(column):
                if any((image / marker).is_file() for marker in GROUP_MARKERS):
                    yield f"{row.name}/{column.name}/{image.name}/"


def _folders(path: Path) -> list[Path]:
    try:
        return [child for child in path.iterdir() if child.is_dir() and not child.is_symlink()]
    except OSError:
        return []  # what is listed there is quarantined with the system's reason when it is opened


def _found(root: str, path: str) -> FoundFile:
    """A group with its metadata's size and time; chunks are not looked at."""
    try:
        return FoundFile(path, *stamp(Path(root, path)))
    except OSError:
        return FoundFile(path)  # a group that is not there: its header says so
