"""Builds a plate from file names that a regex identifies: one plate, its fields and channels.

Used for the user's ``--pattern``, for the built-in patterns and for the grammars of instruments. Several
plates below one input are rejected (:mod:`nucbatch.readers.layouts.one_plate`).
"""

from __future__ import annotations

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from nucbatch.core.errors import InputError
from nucbatch.core.escape import printable
from nucbatch.core.gc_pause import gc_paused
from nucbatch.core.plate import FileRecord, FileStatus, Plate
from nucbatch.readers.assemble import Sighting, assemble, unfitting
from nucbatch.readers.layouts.name_pattern import (
    FROM_ONE,
    FirstNumbers,
    PatternName,
    counts_from_zero,
    read_match,
)
from nucbatch.readers.layouts.one_plate import (
    PlatePosition,
    plate_position,
    require_one_plate,
    several_plates,
)
from nucbatch.readers.layouts.squid_tables import SideTables
from nucbatch.readers.layouts.well_columns import counts_columns_from_zero
from nucbatch.readers.listing import FoundFile, Listing
from nucbatch.readers.names import GREY, natural_key, plural, unique_names
from nucbatch.readers.rules import no_image, quarantined


@gc_paused()
def plate_from_names(
    listing: Listing,
    regex: re.Pattern[str],
    *,
    layout: str,
    first: FirstNumbers = FROM_ONE,
    tables: SideTables | None = None,
    remarks: Sequence[str] = (),
) -> Plate:
    """Returns the plate, or the collection of images, that the names describe.

    Args:
        listing: the input.
        regex: searched in each path; its groups are those of :mod:`nucbatch.readers.layouts.name_pattern`.
        layout: name of the reader.
        first: number from which sites, z-steps and time points are counted; smaller numbers shift them.
        tables: side files of the instrument, with a record for each file that is no image; None if there
            are none, and these files are ignored by rule.
        remarks: sentences for the user.

    Raises:
        InputError: no name matches, or the names are those of several plates.
    """
    settled = list(tables.records) if tables else [no_image(file.path) for file in listing.others()]
    named: list[tuple[FoundFile, PlatePosition]] = []
    senseless: list[FileRecord] = []
    found: dict[str, tuple[re.Match[str], PatternName]] = {}
    matches = [(file, regex.search(file.path)) for file in listing.images()]
    from_zero = counts_from_zero(match for _, match in matches if match)
    for file, match in matches:
        parts = read_match(match, from_zero=from_zero, first=first) if match else None
        if parts is None:
            settled.append(unfitting(file, layout))
        elif isinstance(parts, str):
            senseless.append(quarantined(file.path, parts))
        elif match:
            named.append((file, plate_position(file.path, match, parts)))
            found[file.path] = match, parts
    if "well" in regex.groupindex and counts_columns_from_zero(m["well"] or "" for _, m in matches if m):
        raise InputError(
            f"{printable(listing.name)} counts the columns of its wells from 0: it has a well such as A00. "
            "Give --pattern with (?P<row>[A-P]) and (?P<column>[0-9]+) instead of (?P<well>...): "
            "columns may then count from 0."
        )
    named = _told_by_folders(named, found)
    if not named:
        raise InputError(_fits_none(regex, listing, senseless))
    if named[0][1].parts.well:
        require_one_plate(listing, [place for _, place in named], lambda: _as_one(listing, regex, layout))
    _refuse_several(listing, [(file, place.parts) for file, place in named])
    said = [place.parts for _, place in named]
    first_site = min(first.site, *(parts.site for parts in said), first.site)
    first_z = min(first.z, *(parts.z for parts in said), first.z)
    first_t = min(first.t, *(parts.t for parts in said), first.t)
    spellings = _spellings(parts.channel or GREY for parts in said)
    images = sorted({parts.label for parts in said}, key=natural_key)
    numbers = {label: number for number, label in enumerate(images, start=1)}
    sightings = [
        Sighting(
            file,
            spellings[parts.channel or GREY],
            parts.well,
            parts.site - first_site + 1 if parts.well else numbers[parts.label],
            parts.t - first_t,
            parts.z - first_z,
        )
        for (file, _), parts in zip(named, said, strict=True)
    ]
    keys = {sighting.key for sighting in sightings}
    facts = tables.facts(keys) if tables else {}
    channels: list[str] = sorted({sighting.channel for sighting in sightings}, key=natural_key)
    return assemble(
        listing,
        name=said[0].plate or listing.name,
        layout=layout,
        sightings=sightings,
        records=settled + senseless,
        channels=channels,
        labels=None if said[0].well else _labels(images, listing.name),
        gaps=tables.gaps(keys) if tables else {},
        facts=facts,
        evidence="side file" if tables and tables.listed else "names",
        remarks=(*remarks, *(tables.remarks if tables else ())),
    )


def _told_by_folders(
    named: list[tuple[FoundFile, PlatePosition]], found: dict[str, tuple[re.Match[str], PatternName]]
) -> list[tuple[FoundFile, PlatePosition]]:
    """Returns the positions, without the folders whose name repeats a part of some of their files only.

    The folder ``P1`` of ``P1/B02_s1.tif`` may be site 1. If it also holds ``B02_s2.tif``, it is a plate.
    """
    apart: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for file, place in named:
        apart[file.path.rpartition("/")[0]].add(place.apart)
    return [
        (file, place)
        if len(apart[file.path.rpartition("/")[0]]) == 1
        else (file, plate_position(file.path, *found[file.path], confirms=False))
        for file, place in named
    ]


def _fits_none(regex: re.Pattern[str], listing: Listing, senseless: list[FileRecord]) -> str:
    images = listing.images()
    if senseless:
        first = senseless[0]
        return (
            f"--pattern {regex.pattern!r} fits {len(senseless):,} of {plural(len(images), 'image')} below "
            f"{listing.name}, but none makes sense: {first.path}: {first.reason}."
        )
    example = images[0].path if images else "no image at all"
    return (
        f"--pattern {regex.pattern!r} fits none of the {plural(len(images), 'image')} below {listing.name}: "
        f"the first is {example}. It is searched in the path below the input, and case counts unless it "
        "begins with (?i)."
    )


def _spellings(channels: Iterable[str]) -> dict[str, str]:
    """Maps each channel name to the most frequent spelling that differs from it only in case."""
    counts = Counter(channels)
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    first: dict[str, str] = {}
    for name in ranked:
        first.setdefault(name.casefold(), name)
    return {name: first[name.casefold()] for name in counts}


def _labels(images: list[str], collection: str) -> dict[int, str]:
    """Returns unique safe names of images by number; a bare number is prefixed with the collection's name."""
    written = {label: f"{collection}_{label}" if label.isdecimal() else label for label in images}
    names = unique_names(f"{name}.tif" for name in written.values())
    return {number: names[f"{written[label]}.tif"] for number, label in enumerate(images, start=1)}


def _refuse_several(listing: Listing, named: list[tuple[FoundFile, PatternName]]) -> None:
    """Rejects several values of the group ``plate``, and the same planes in several folders."""
    plates = sorted({parts.plate for _, parts in named})
    if len(plates) > 1:
        raise InputError(
            f"{listing.name} holds {len(plates)} plates by the pattern's group plate "
            f"({', '.join(plates[:6])}). Run each alone, from its own folder or with a narrower pattern."
        )
    folders: dict[PatternName, set[str]] = defaultdict(set)
    for file, parts in named:
        folders[parts].add(file.path.rpartition("/")[0])
    clashing = sorted({folder for where in folders.values() if len(where) > 1 for folder in where})
    if clashing:
        raise several_plates(listing, clashing, f"the same wells in {len(clashing)} folders")


def _as_one(listing: Listing, regex: re.Pattern[str], layout: str) -> str:
    """Returns the last lines of the error: a pattern that reads the names as one plate, if there is one."""
    flags = "(?i)" if regex.flags & re.IGNORECASE else ""
    rest = regex.pattern.removeprefix("(?i)")
    if rest.startswith("^"):
        return ""
    pattern = f"{flags}^.*?{rest}"
    if not reads_all(listing, re.compile(pattern), layout):
        return ""
    root = printable(shlex.quote(listing.root))
    return (
        "\nIf they are one plate, let the pattern begin with the folders:\n"
        f"  nucbatch inspect {root} --pattern {shlex.quote(pattern)}"
    )


def reads_all(listing: Listing, regex: re.Pattern[str], layout: str) -> bool:
    """Returns whether a regex reads at least 9 of 10 images as one plate, most fields with all channels.

    Only such a regex is suggested to a user.
    """
    try:
        plate = plate_from_names(listing, regex, layout=layout)
    except InputError:
        return False
    used = sum(1 for record in plate.files if record.status is FileStatus.USED)
    whole = sum(1 for field in plate.fields if not field.lacking and not field.problem)
    return 10 * used >= 9 * len(listing.images()) and 2 * whole >= len(plate.fields)
