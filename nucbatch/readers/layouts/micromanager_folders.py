"""Micro-Manager's folders of single images: one for each position, with ``metadata.txt``.

Names give channel, time and z by number (version 2), or the channel by name (version 1.4). The metadata add
names of channels and the pixel size, and say which images were acquired. Damaged metadata, and those that
contradict the folder's name, are quarantined; names alone are then read.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from nucbatch.core.errors import InputError
from nucbatch.core.escape import printable
from nucbatch.core.plate import Channel, FileRecord, Plate
from nucbatch.core.plate_geometry import plausible_well
from nucbatch.readers.assemble import FieldFacts, FieldKey, Sighting, assemble, unfitting
from nucbatch.readers.layouts.micromanager_metadata import PositionMetadata, read_metadata
from nucbatch.readers.layouts.one_plate import several_plates
from nucbatch.readers.listing import FoundFile, Listing
from nucbatch.readers.names import unique_names
from nucbatch.readers.rules import ignored, is_image_name, no_image, quarantined
from nucbatch.readers.untried import untried

NOT_TRIED = untried("Names and metadata of Micro-Manager")

_IMAGES = (
    re.compile(
        r"img_channel(?P<c>[0-9]{3,9})_position(?P<p>[0-9]{3,9})_time(?P<t>[0-9]{9})_z(?P<z>[0-9]{3,9})\.tiff?",
        re.IGNORECASE,
    ),
    re.compile(r"img_(?P<t>[0-9]{9})_(?P<c>[^/]*)_(?P<z>[0-9]{3})\.tiff?", re.IGNORECASE),
)
_SITE = re.compile(
    r"(?P<well>[A-Z]{1,2}[0-9]{1,2})-Site_?(?P<site>[0-9]{1,6})(?:_[0-9]{1,3})?", re.IGNORECASE
)
_SIDE_FILES = frozenset(
    {"metadata.txt", "display_and_comments.txt", "displaysettings.json", "comments.txt", "acqusettings.txt"}
)


@dataclass(frozen=True, slots=True)
class ImageName:
    """Parts of the name of a single image; ``channel`` is a number in version 2, a name in 1.4."""

    channel: str
    t: int
    z: int
    is_numbered: bool


def parse_image(path: str) -> ImageName | None:
    """Parses a path; None if its name is not that of a single image."""
    name = posixpath.basename(path)
    for number, pattern in enumerate(_IMAGES):
        match = pattern.fullmatch(name)
        if match:
            return ImageName(match["c"], int(match["t"]), int(match["z"]), number == 0)
    return None


def field_of(label: str) -> tuple[str, int]:
    """Returns (well, site from 1) of a position's label; an empty well if it names none.

    >>> field_of("B2-Site_0"), field_of("Pos3")
    (('B02', 1), ('', 0))
    """
    match = _SITE.fullmatch(label)
    well = plausible_well(match["well"]) if match else ""
    return (well, int(match["site"]) + 1) if match and well else ("", 0)


def read_folders(listing: Listing, layout: str) -> Plate:
    """Returns the plate, or the positions as a collection.

    Raises:
        InputError: several acquisitions of a plate; or positions whose metadata name other channels.
    """
    found = [(file, name) for file in listing.images() if (name := parse_image(file.path))]
    folders = list(dict.fromkeys(posixpath.dirname(file.path) for file, _ in found))
    metadata, refused = _metadata(listing, folders)
    labels = {folder: _label(listing, folder, metadata) for folder in folders}
    is_plate = any(field_of(label)[0] for label in labels.values())
    if is_plate:
        _require_one_acquisition(listing, [folder for folder in folders if field_of(labels[folder])[0]])
    places = {
        folder: field_of(labels[folder]) if is_plate else ("", site)
        for site, folder in enumerate(folders, start=1)
    }
    channels = _channels(found, metadata)
    sightings: list[Sighting] = []
    records = [_side_record(file, refused) for file in listing.others()]
    lacking: dict[FieldKey, dict[str, str]] = defaultdict(dict)
    facts: dict[FieldKey, FieldFacts] = {}
    for file in listing.images():
        name = parse_image(file.path)
        folder = posixpath.dirname(file.path)
        if name is None:
            records.append(unfitting(file, layout))
            continue
        well, site = places[folder]
        known = metadata.get(folder)
        if is_plate and not well:
            records.append(quarantined(file.path, f"its position, {labels[folder]}, names no well"))
        elif known and known.files and posixpath.basename(file.path) not in known.files:
            records.append(quarantined(file.path, "metadata.txt beside it does not list it"))
        else:
            channel = channels[name.channel].name
            sightings.append(Sighting(file, channel, well, site, name.t, name.z))
            facts[well, site, name.t] = FieldFacts(
                pixel_size_um=known.pixel_size_um if known else None,
                stage_um=known.stage_um.get(name.t, known.stage_um.get(0)) if known else None,
            )
    there = {file.path for file in listing.files}
    for folder, known in metadata.items():
        for gone in sorted(known.files):
            name = parse_image(gone)
            if name and places[folder][1] and posixpath.join(folder, gone) not in there:
                channel = channels.setdefault(name.channel, Channel(name.channel, len(channels))).name
                lacking[*places[folder], name.t].setdefault(channel, f"{gone} is not there")
    _add_incomplete(sightings, lacking)
    expected: set[str] = set()
    if is_plate and folders != [""]:  # the folder of one position may be given itself
        expected.update(label for known in metadata.values() for label in known.positions)
    gaps = {
        (*field_of(label), 0): f"the folder of its position, {label}, is not there"
        for label in expected
        if field_of(label)[0] and field_of(label) not in places.values()
    }
    names = unique_names(f"{folder or listing.name}.image" for folder in folders)
    return assemble(
        listing,
        name=printable(listing.name),
        layout=layout,
        sightings=sightings,
        records=records,
        channels=list(channels.values()),
        gaps=gaps,
        lacking=lacking,
        labels=None
        if is_plate
        else {places[folder][1]: names[f"{folder or listing.name}.image"] for folder in folders},
        facts=facts,
        evidence="side file" if metadata else "names",
        remarks=_remarks(metadata, refused),
    )


def _metadata(listing: Listing, folders: list[str]) -> tuple[dict[str, PositionMetadata], dict[str, str]]:
    """Returns the metadata by folder, and the reason for each file that cannot be used."""
    there = {file.path for file in listing.others()}
    metadata: dict[str, PositionMetadata] = {}
    refused: dict[str, str] = {}
    for folder in folders:
        path = posixpath.join(folder, "metadata.txt")
        if path not in there:
            continue
        found = read_metadata(listing, path)
        own = _own_label(listing, folder)
        if isinstance(found, str):
            refused[path] = found
        elif found.label and field_of(own)[0] and field_of(found.label) != field_of(own):
            refused[path] = f"it is of position {found.label}, but lies in the folder of {own}"
        else:
            metadata[folder] = found
    summaries = {known.channels for known in metadata.values() if known.channels}
    if len(summaries) > 1:
        listed = "; ".join(", ".join(names) for names in sorted(summaries)[:4])
        raise InputError(
            f"{printable(listing.name)} has positions with other channels ({listed}): these are several "
            "acquisitions. Give the folder of one."
        )
    return metadata, refused


def _label(listing: Listing, folder: str, metadata: Mapping[str, PositionMetadata]) -> str:
    own = _own_label(listing, folder)
    recorded = metadata[folder].label if folder in metadata else ""
    return recorded if field_of(recorded)[0] and not field_of(own)[0] else own


def _position_folder(folder: str) -> str:
    """Returns the folder named after the position: ``Default`` lies in it if it was acquired alone."""
    above, _, last = folder.rpartition("/")
    return above if last.lower() == "default" else folder


def _own_label(listing: Listing, folder: str) -> str:
    return posixpath.basename(_position_folder(folder) or listing.root)


def _require_one_acquisition(listing: Listing, folders: list[str]) -> None:
    """Checks that all folders of fields lie side by side.

    Raises:
        InputError: they are of several acquisitions.
    """
    above = sorted({posixpath.dirname(_position_folder(folder)) for folder in folders})
    if len(above) > 1:
        raise several_plates(listing, above, f"{len(above)} acquisitions of Micro-Manager")


def _channels(
    found: list[tuple[FoundFile, ImageName]], metadata: Mapping[str, PositionMetadata]
) -> dict[str, Channel]:
    """Returns the channels by their number or name in file names."""
    known = next((one for one in metadata.values() if one.channels), PositionMetadata())
    are_names = all(known.channels) and len(set(known.channels)) == len(known.channels)
    channels: dict[str, Channel] = {}
    for channel, is_numbered in sorted({(name.channel, name.is_numbered) for _, name in found}):
        index = int(channel) if is_numbered else -1
        written = f"channel{channel}" if is_numbered else channel or "Grey"
        if not is_numbered and channel in known.channels:
            index = known.channels.index(channel)
        name = known.channels[index] if is_numbered and are_names and index < len(known.channels) else written
        channels[channel] = Channel(
            name,
            len(channels),
            aliases=(written,) if written != name else (),
            color=known.colors[index] if 0 <= index < len(known.colors) else "",
        )
    return channels


def _add_incomplete(sightings: list[Sighting], lacking: dict[FieldKey, dict[str, str]]) -> None:
    """Notes channels with fewer z-steps than in other fields: a stopped acquisition, or a copied part."""
    steps: dict[tuple[FieldKey, str], int] = defaultdict(int)
    for sighting in sightings:
        steps[sighting.key, sighting.channel] += 1
    most: dict[str, int] = defaultdict(int)
    for (_, channel), count in steps.items():
        most[channel] = max(most[channel], count)
    for (key, channel), count in steps.items():
        if count < most[channel]:
            lacking[key].setdefault(channel, f"{count} of {most[channel]} z-steps are there")


def _side_record(file: FoundFile, refused: Mapping[str, str]) -> FileRecord:
    if file.path in refused:
        return quarantined(file.path, refused[file.path])
    if posixpath.basename(file.path).lower() in _SIDE_FILES and not is_image_name(file.path):
        return ignored(file.path, "vendor-metadata")
    return no_image(file.path)


def _remarks(metadata: Mapping[str, PositionMetadata], refused: Mapping[str, str]) -> list[str]:
    remarks = [NOT_TRIED]
    if refused:
        remarks.append(f"{len(refused):,} metadata.txt can't be used: names alone tell the images there")
    return remarks
