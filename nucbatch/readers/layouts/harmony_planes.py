"""Planes of a Harmony measurement: joins the files found with an index, or with their names alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from nucbatch.core.pixel_size import not_square_remark
from nucbatch.core.plate import Channel, FileRecord
from nucbatch.readers.assemble import FieldFacts, FieldKey, Sighting, unfitting
from nucbatch.readers.layouts.harmony_index import HarmonyIndex, IndexedImage
from nucbatch.readers.layouts.harmony_name import HarmonyName, base_name, parse, stem
from nucbatch.readers.layouts.harmony_profile import UnusableProfile, parse_profile
from nucbatch.readers.listing import FoundFile, Listing
from nucbatch.readers.names import plural
from nucbatch.readers.rules import quarantined

LAYOUT = "harmony"
_SAME_SIZE = 1.001  # ratio up to which two pixel sizes are the same


@dataclass(frozen=True, slots=True)
class Measurement:
    """Planes of a plate, and the facts on them.

    Attributes:
        channels: by number.
        sightings: the planes.
        records: records of files that are no planes.
        lost: for each field, channel and then file that the index lists: why it can't be used.
        acquired: names of the channels that the index lists for each field; None without an index.
        facts: of each field.
        notes: sentences about flat-field profiles that can't be used.
    """

    channels: Mapping[int, Channel]
    sightings: list[Sighting]
    records: list[FileRecord]
    lost: Mapping[FieldKey, Mapping[str, list[str]]]
    acquired: Mapping[FieldKey, set[str]] | None = None
    facts: Mapping[FieldKey, FieldFacts] | None = None
    notes: tuple[str, ...] = ()


def by_names(listing: Listing) -> Measurement:
    """Recognises images by their names alone."""
    sightings: list[Sighting] = []
    records: list[FileRecord] = []
    numbers: set[int] = set()
    for file in listing.images():
        name = parse(base_name(file.path))
        if name is None:
            records.append(unfitting(file, LAYOUT))
        else:
            numbers.add(name.channel)
            sightings.append(_sighting(file, name, f"ch{name.channel}"))
    channels = {number: Channel(f"ch{number}", 0) for number in numbers}
    return Measurement(channels, sightings, records, {})


def _sighting(file: FoundFile, name: HarmonyName, channel: str, page: int | None = None) -> Sighting:
    return Sighting(file, channel, name.well, name.site, name.t, name.z, page)


def by_index(listing: Listing, index: HarmonyIndex) -> Measurement:
    """Finds the images of an index."""
    here: dict[str, list[FoundFile]] = defaultdict(list)
    for file in listing.images():
        here[stem(file.path)].append(file)
    others = {base_name(file.path).casefold(): file.path for file in listing.others()}
    paged = any(image.page for image in index.images)
    channels, unusable = _channels(index)
    sightings: list[Sighting] = []
    lost: dict[FieldKey, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    acquired: dict[FieldKey, set[str]] = defaultdict(set)
    faulty: dict[str, FileRecord] = {}
    listed: set[str] = set()
    for image in index.images:
        name, channel = image.name, channels[image.name.channel].name
        key = name.well, name.site, name.t
        acquired[key].add(channel)
        found = _found(image, here)
        listed.update(file.path for file in found)
        if image.fault or not found:
            shown, odd = image.file or "an image without a name", others.get(base_name(image.file).casefold())
            gone = f"{odd} can't be decoded" if odd else f"{shown}, listed in {index.path}, is not there"
            lost[key][channel].append(image.fault or gone)
            unread = f"{index.path} lists it as an image, but it can't be decoded: convert it to TIFF"
            for path in [odd] if odd else [file.path for file in found]:
                faulty[path] = _faulty(path, image.fault or unread, name, channel)
            continue
        sightings += [_sighting(file, name, channel, image.page if paged else None) for file in found]
    records = list(faulty.values())
    for file in listing.images():
        if file.path not in listed:
            reason = f"{index.path} does not list it"
            known = parse(base_name(file.path))
            records.append(quarantined(file.path, reason) if known else unfitting(file, LAYOUT))
    facts = {key: _facts(index, key, acquired[key], channels) for key in acquired}
    return Measurement(channels, sightings, records, lost, acquired, facts, tuple(unusable))


def _faulty(path: str, reason: str, name: HarmonyName, channel: str) -> FileRecord:
    record = quarantined(path, reason)
    return replace(record, well=name.well, site=name.site, channel=channel, z=name.z, t=name.t)


def _found(image: IndexedImage, here: Mapping[str, list[FoundFile]]) -> list[FoundFile]:
    """Returns the files of an image, which may be converted ones (PNG, ``.tif`` for ``.tiff``).

    Of several the one at the path in the index is taken, if there is one.
    """
    wanted = image.file.casefold()
    candidates = here.get(stem(wanted), []) if wanted else []
    of_name = [file for file in candidates if base_name(file.path).casefold() == base_name(wanted)]
    candidates = of_name or candidates
    exact = [file for file in candidates if f"/{file.path.casefold()}".endswith(f"/{wanted}")]
    return exact if "/" in wanted and len(exact) == 1 else candidates


def _channels(index: HarmonyIndex) -> tuple[dict[int, Channel], list[str]]:
    """Returns the channels that have images, by number, and remarks about profiles that can't be used."""
    numbers = sorted({image.name.channel for image in index.images})
    names = [index.channels[number].name for number in numbers]
    channels: dict[int, Channel] = {}
    notes: list[str] = []
    for number, name in zip(numbers, names, strict=True):
        known, plain = index.channels[number], f"ch{number}"
        shown = name if name and names.count(name) == 1 else f"{name} ({plain})" if name else plain
        flat_field = None
        try:
            flat_field = parse_profile(known.flat_field)
        except UnusableProfile as error:
            notes.append(f"The flat-field profile of {shown} in {index.path} can't be used: {error}.")
        channels[number] = Channel(
            shown,
            0,
            aliases=() if shown == plain else (plain,),
            excitation_nm=known.excitation_nm,
            emission_nm=known.emission_nm,
            flat_field=flat_field,
        )
    return channels, notes


def _facts(
    index: HarmonyIndex, key: FieldKey, names: Collection[str], channels: Mapping[int, Channel]
) -> FieldFacts:
    sizes = {
        size
        for number, channel in channels.items()
        if channel.name in names
        for size in index.channels[number].pixel_sizes_um
    }
    size_um = min(sizes) if sizes and max(sizes) <= min(sizes) * _SAME_SIZE else None
    return FieldFacts(
        index.positions_um.get(key),
        size_um,
        time=index.times.get(key, ""),
        apart_um=index.apart_um.get(key, 0.0),
    )


def missing(
    found: Measurement, index: HarmonyIndex | None
) -> tuple[dict[FieldKey, str], dict[FieldKey, dict[str, str]]]:
    """Returns the reasons for fields without any image, and for channels of other fields."""
    there = {sighting.key for sighting in found.sightings}
    gaps: dict[FieldKey, str] = {}
    lacking: dict[FieldKey, dict[str, str]] = {}
    for key, channels in found.lost.items():
        if key in there:
            lacking[key] = {channel: _summed(reasons) for channel, reasons in channels.items()}
        else:
            gaps[key] = _summed([reason for reasons in channels.values() for reason in reasons])
    if index:
        wells = {image.name.well for image in index.images}
        first_t = min(image.name.t for image in index.images)
        reason = f"{index.path} lists the well as measured, but no image of it"
        gaps |= {(well, 1, first_t): reason for well in index.wells if well not in wells}
    return gaps, lacking


def _summed(reasons: list[str]) -> str:
    """Returns the first reason, and the number of others."""
    others = len(set(reasons)) - 1
    return reasons[0] + (f" (and {plural(others, 'more image')})" if others else "")


def remarks(found: Measurement, index: HarmonyIndex | None) -> list[str]:
    """Returns sentences about what the index does not give."""
    if index is None:
        return [
            "There is no usable index (Index.idx.xml or Index.xml): the names of channels, stage positions "
            "and the pixel size are unknown. Give the size with --pixel-size."
        ]
    sizes = {
        channel.name: sorted(index.channels[number].pixel_sizes_um)
        for number, channel in sorted(found.channels.items())
    }
    known = {size for of_channel in sizes.values() for size in of_channel}
    said_of = list(found.notes)
    if index.oblong_um:
        said_of.append(not_square_remark(*index.oblong_um, index.path))
    if known and max(known) > min(known) * _SAME_SIZE:
        said = ", ".join(
            f"{name} {' and '.join(f'{size:g}' for size in of_channel) or 'none'}"
            for name, of_channel in sizes.items()
        )
        said_of.append(
            f"{index.path} gives pixel sizes that differ ({said} µm). Fields whose channels differ have "
            "none: give it with --pixel-size."
        )
    without = sum(not facts.position_um for facts in (found.facts or {}).values())
    if 0 < without < len(found.facts or {}):
        said_of.append(f"{index.path} gives no usable stage position for {plural(without, 'field')}.")
    return said_of
