"""Layout of OME-Zarr input (0.4 and 0.5): an image, a folder of images, a series, or an HCS plate.

- The metadata list the images. Each image group counts as one file, whatever its number of chunks (its path
  ends in ``/``). A group that only lists images is ignored by the rule ``zarr-group``.
- An image that a plate lists but lacks is quarantined. One that exists but is not listed is ignored by the
  rule ``unlisted``.
- ``ome_zarr_wells.py`` selects the images of a well that are sites.
- Sites are the images' own numbers if all are numbers (``2t0`` in nucbatch's output is site 2, time point 0),
  else their positions in the well.
- Channels, z-steps and time points come from the headers, as for a TIFF of several pages.
- Fields that nucbatch lost when it converted the plate are missing, with the reason.
- The position of a field is the translation of its full resolution, with y down as in the image.

Source: https://ngff.openmicroscopy.org/0.5/.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from nucbatch.core.errors import InputError, UnreadableImage
from nucbatch.core.plate import FileRecord, Plate
from nucbatch.core.plate_geometry import parse_row, plausible_well
from nucbatch.object_store import each, path_in
from nucbatch.readers.assemble import FieldKey, Sighting, assemble
from nucbatch.readers.contract import Example, ReadOptions
from nucbatch.readers.layouts.ome_zarr_positions import field_facts
from nucbatch.readers.layouts.ome_zarr_wells import Sites, chosen_acquisition, sites_of, titled
from nucbatch.readers.listing import FoundFile, Listing
from nucbatch.readers.names import GREY, safe_name, unique_names
from nucbatch.readers.rules import ignored, is_image_name, no_image, quarantined
from nucbatch.readers.unchanged import stamp
from nucbatch.zarr_format.lost_images import lost_images
from nucbatch.zarr_format.ome import (
    GROUP_MARKERS,
    WellImage,
    acquisitions_of,
    attributes,
    below,
    images_of_well,
    is_group,
    plate_size_of,
    series_of,
    wells_of,
)

_SITE = re.compile(r"([0-9]{1,9})(?:t([0-9]{1,9}))?")
_ARRAY_MARKERS = ("zarr.json", ".zarray")


@dataclass(slots=True)
class _Store:
    """Contents of a store: a plate or images (by path, below the input), and what was left out."""

    is_plate: bool = False
    images: list[str] = field(default_factory=list)
    records: list[FileRecord] = field(default_factory=list)
    acquisition: str = ""


@dataclass(slots=True)
class _Wells:
    """Wells listed by a plate: names and paths of their sites."""

    images: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    gaps: dict[FieldKey, str] = field(default_factory=dict)
    records: list[FileRecord] = field(default_factory=list)
    acquisition: str = ""
    doubtful: dict[str, str] = field(default_factory=dict)

    def unresolved(self) -> dict[FieldKey, str]:
        """Returns the gaps; a field with several versions gets the next number after its well's sites."""
        gaps = dict(self.gaps)
        for well, reason in self.doubtful.items():
            last = max((site for site, _ in _sites(self, well)), default=0)
            gaps[well, last + 1, 0] = reason
        return gaps


class OmeZarrReader:
    """Reads OME-Zarr stores."""

    name = "omezarr"
    priority = 25
    example = Example(
        {
            **{f"p.zarr/{well}/{image}": None for well in ("A/1", "B/12") for image in "01"},
            "notes.csv": b"a,b",
        }
    )

    def recognise(self, listing: Listing) -> bool:
        """Returns whether there is a Zarr store and no other image."""
        return bool(listing.stores()) and not listing.images()

    def read(self, listing: Listing, options: ReadOptions) -> Plate:
        """Returns the plate, or the images as a collection in path order.

        Raises:
            InputError: no Zarr store, no OME-Zarr in it, several plates, a plate and other images, or several
                acquisitions of which none is chosen.
        """
        stores = listing.stores()
        if not stores:
            raise InputError(f"{listing.name} holds no Zarr store: --layout {self.name} needs one.")
        records = [
            ignored(file.path, "beside-zarr") if is_image_name(file.path) else no_image(file.path)
            for file in listing.files
        ]
        kinds: dict[str, _Store] = {}
        for store in stores:
            try:
                kinds[store] = _look_into(path_in(listing.root), store, options.acquisition)
            except UnreadableImage as error:
                if len(stores) == 1:
                    raise InputError(
                        f"{store.rstrip('/')} can't be used: {error}. Give an OME-Zarr image or plate."
                    ) from error
                records.append(quarantined(store, str(error)))
        rest = replace(listing, settled=tuple(one for one in listing.settled if one.path not in stores))
        plates = [store for store, found in kinds.items() if found.is_plate]
        if not plates:
            return self._collection(rest, kinds, records)
        if len(kinds) > 1:
            listed = "\n".join(f"  {listing.root}/{store}".rstrip("/") for store in kinds)
            raise InputError(
                f"{listing.name} holds {len(plates)} OME-Zarr plates among {len(kinds)} stores. Run each "
                f"alone:\n{listed}"
            )
        return self._plate(rest, plates[0], records, options.acquisition)

    def _collection(self, listing: Listing, kinds: dict[str, _Store], records: list[FileRecord]) -> Plate:
        paths = sorted(path for store in kinds.values() for path in store.images)
        acquisitions = {store.acquisition for store in kinds.values()} - {""}
        records += [record for store in kinds.values() for record in store.records]
        records += [ignored(store, "zarr-group") for store in kinds if store not in paths]
        for store in kinds:
            lost = lost_images(path_in(listing.root, store)).items()
            records += [
                quarantined(f"{store}{name}/", why) for name, why in lost if f"{store}{name}/" not in paths
            ]
        titles = {path: _title(path) for path in paths}
        names = unique_names(titles.values())
        plate = assemble(
            listing,
            name=safe_name(listing.name.removesuffix(".zarr")),
            layout=self.name,
            sightings=[
                Sighting(file, GREY, site=site)
                for site, file in enumerate(_found_files(listing.root, paths), start=1)
            ],
            records=records,
            channels=[GREY] if paths else [],
            labels={site: names[titles[path]] for site, path in enumerate(paths, start=1)},
        )
        return replace(plate, acquisition=", ".join(sorted(acquisitions)))

    def _plate(self, listing: Listing, store: str, records: list[FileRecord], acquisition: str) -> Plate:
        root = path_in(listing.root, store)
        wells = _wells(root, store, acquisition)
        listed = {path for images in wells.images.values() for _, path in images}
        listed |= {record.path for record in wells.records}
        on_disk = {store + path for path in _groups(root, {path.removeprefix(store) for path in listed})}
        records += [ignored(store, "zarr-group"), *wells.records]
        records += [ignored(path, "unlisted") for path in sorted(on_disk - listed)]
        placed = [
            (path, well, site, t)
            for well, images in wells.images.items()
            for (_, path), (site, t) in zip(images, _sites(wells, well), strict=True)
        ]
        files = _found_files(listing.root, [path for path, *_ in placed])
        sightings = [
            Sighting(file, GREY, well, site, t)
            for file, (_, well, site, t) in zip(files, placed, strict=True)
        ]
        found = attributes(root)
        name = str(found.get("plate", {}).get("name") or "")
        rows, columns = plate_size_of(found)
        plate = assemble(
            listing,
            name=name or safe_name(listing.name.removesuffix(".zarr")),
            layout=self.name,
            sightings=sightings,
            records=records,
            channels=[GREY] if sightings else [],
            gaps=wells.unresolved() | _lost_fields(root, {path.removeprefix(store) for path in listed}),
            facts=field_facts(listing.root, sightings, wells.acquisition),
            rows=rows,
            columns=columns,
        )
        return replace(plate, acquisition=wells.acquisition)


def _look_into(root: Path, store: str, acquisition: str) -> _Store:
    """Reads the contents of a store that is not a plate.

    Raises:
        UnreadableImage: it is neither a plate nor images.
        InputError: a well with several acquisitions of which none is chosen.
    """
    place = root / store
    found = attributes(place)
    if "plate" in found:
        return _Store(is_plate=True)
    if "multiscales" in found:
        return _Store(images=[store])
    if "well" in found:
        listed = _listed(place, found)
        number = chosen_acquisition({store: listed}, acquisition, {}, store.rstrip("/"))
        sites = sites_of(listed, number)
        return _Store(False, [f"{store}{name}/" for name in sites.names], _left_out(store, sites), number)
    names = series_of(place)
    if not names:  # a group of images without a list
        names = [child.name for child in sorted(place.iterdir()) if "multiscales" in _shown_by(child)]
    if not names:
        raise UnreadableImage("a Zarr without an image, plate or series of OME-Zarr")
    for name in names:
        below(place, name)
    return _Store(images=[f"{store}{name}/" for name in names])


def _listed(place: Path, found: dict[str, Any]) -> list[WellImage]:
    """Lists the images of a well and checks that they lie below it.

    Raises:
        UnreadableImage: there is no list, or a name leads out of the well.
    """
    images = images_of_well(found)
    for image in images:
        below(place, image.path)
    return images


def _left_out(store: str, sites: Sites) -> list[FileRecord]:
    return [
        *(ignored(f"{store}{name}/", rule) for name, rule in sites.ignored.items()),
        *(quarantined(f"{store}{name}/", reason) for name, reason in sites.doubtful.items()),
    ]


def _shown_by(group: Path) -> dict[str, object]:
    try:
        return attributes(group) if is_group(group) else {}
    except UnreadableImage:
        return {}  # not listed as an image


def _title(path: str) -> str:
    """Returns the path from which unique_names derives a name; a bare number is prefixed with its store."""
    parts = path.rstrip("/").split("/")
    last = parts[-1]
    if last.isdecimal() and len(parts) > 1:
        parts[-1] = f"{parts[-2].removesuffix('.zarr')}_{last}"
    return "/".join(parts) if last.endswith(".zarr") else "/".join(parts) + ".zarr"


def _wells(root: Path, store: str, acquisition: str) -> _Wells:
    shown = store.rstrip("/")
    try:
        found = attributes(root)
        paths, titles = wells_of(found), acquisitions_of(found)
    except UnreadableImage as error:
        raise InputError(f"{shown} is no plate that can be read: {error}.") from error
    wells = _Wells()
    listed: dict[str, tuple[str, list[WellImage]]] = {}
    for path, group in zip(paths, each(root, partial(_well_group, root), paths), strict=True):
        row, _, column = path.partition("/")
        well = plausible_well(parse_row(row) + column)
        place = f"{store}{path}/"
        if not well:
            wells.records.append(quarantined(place, f"{path!r} is no well (A/1 to AF/48)"))
            continue
        if isinstance(group, str):
            wells.gaps[well, 1, 0] = f"{place}: {group}"
            wells.records.append(quarantined(place, group))
        else:
            listed[place] = well, group
    by_place = {place: images for place, (_, images) in listed.items()}
    number = chosen_acquisition(by_place, acquisition, titles, shown)
    wells.acquisition = titled(number, titles) if number else ""
    for place, (well, images) in listed.items():
        sites = sites_of(images, number)
        wells.records += _left_out(place, sites)
        wells.images.setdefault(well, []).extend((name, f"{place}{name}/") for name in sites.names)
        if not images:
            wells.gaps[well, 1, 0] = f"no image: {place} lists none"
        elif sites.doubtful:
            wells.doubtful[well] = "; ".join(dict.fromkeys(sites.doubtful.values()))
    return wells


def _well_group(root: Path, path: str) -> list[WellImage] | str:
    """Lists the images of a well, or returns the reason why its group can't be read."""
    try:
        group = below(root, path)
        return _listed(group, attributes(group))
    except UnreadableImage as error:
        return str(error)


def _sites(wells: _Wells, well: str) -> Iterator[tuple[int, int]]:
    """Yields (site, t) of each image of a well."""
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


def _lost_fields(root: Path, listed: set[str]) -> dict[FieldKey, str]:
    """Returns the fields that the plate lost when it was converted, with the reasons."""
    lost: dict[FieldKey, str] = {}
    for path, reason in lost_images(root).items():
        row, _, rest = path.partition("/")
        column, _, image = rest.partition("/")
        well, match = plausible_well(parse_row(row) + column), _SITE.fullmatch(image)
        if well and match and f"{path}/" not in listed:
            lost[well, int(match[1]), int(match[2] or 0)] = f"lost when the OME-Zarr was written: {reason}"
    return lost


def _groups(root: Path, known: Container[str]) -> Iterator[str]:
    """Yields the groups three levels below a plate, where its images lie, except for ``known`` ones."""
    columns = [column for folders in each(root, _folders, _folders(root)) for column in folders]
    for column, images in zip(columns, each(root, _folders, columns), strict=True):
        for image in images:
            path = f"{column.parent.name}/{column.name}/{image.name}/"
            if path not in known and any((image / marker).is_file() for marker in GROUP_MARKERS):
                yield path


def _folders(path: Path) -> list[Path]:
    try:
        return [child for child in path.iterdir() if child.is_dir() and not child.is_symlink()]
    except OSError:
        return []  # listed images are quarantined with the system's reason when they are opened


def _found_files(root: str, paths: Sequence[str]) -> list[FoundFile]:
    return list(each(path_in(root), partial(_found, root), paths))


def _found(root: str, path: str) -> FoundFile:
    """Returns a group with size and time of its metadata, without its chunks."""
    try:
        return FoundFile(path, *stamp(path_in(root, path)))
    except OSError:
        return FoundFile(path)  # a missing group: reading its header gives the reason
