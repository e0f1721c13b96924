"""File names by pattern: a regex whose named groups say which well, site, channel, z and t a file is.

The regex is searched in the path relative to the input, with ``/``. ``well``, or ``row`` and ``column``,
must be among its groups; ``site`` (or ``field``), ``channel``, ``z``, ``t`` and ``plate`` may be. Rows
may be letters or numbers. Numbers may start at 0 or 1: if any file says 0, all are counted from 0. Some
widespread patterns are tried unasked, in a fixed order; the first that fits at least half of the images
is taken.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

from nucbatch.errors import InputError
from nucbatch.plate import FileRecord, Plate
from nucbatch.readers.assemble import Sighting, assemble, unfitting
from nucbatch.readers.contract import ReadOptions
from nucbatch.readers.listing import FoundFile, Listing
from nucbatch.readers.names import GREY, natural_key, plausible_well, row_letters
from nucbatch.readers.rules import no_image, quarantined

GROUPS = ("well", "row", "column", "site", "field", "channel", "z", "t", "plate")

_END = r"\.(?:tiff?|png|jpe?g)$"
_WELL = r"(?P<well>[A-Pa-p][0-9]{1,2})"
BUILT_IN = {
    # Channel2-01-A-01.tif: channel, running number, row, column (BBBC013 and others of the Broad)
    "running number": rf"(?:^|/)(?P<channel>[A-Za-z]\w*)-[0-9]+-(?P<row>[A-P])-(?P<column>[0-9]{{2}}){_END}",
    # B03_s1_c2_z0_t0.tif, plate_B03_f01_ch2.tif: each number with its letter
    "lettered": rf"(?:^|[/_-]){_WELL}[_-][sf](?P<site>[0-9]+)(?:[_-]ch?(?P<channel>[0-9]+))?"
    rf"(?:[_-]z(?P<z>[0-9]+))?(?:[_-]t(?P<t>[0-9]+))?{_END}",
    # B03_1_DAPI.tif, B03_DAPI.tif: well, perhaps a site, the stain's name
    "well and stain": rf"(?:^|[/_-]){_WELL}[_-](?:(?P<site>[0-9]+)[_-])?"
    rf"(?P<channel>[A-Za-z]+[0-9]{{0,5}}){_END}",
}


@dataclass(frozen=True, slots=True)
class PatternName:
    """What a path tells. Numbers are as written; ``plate`` and ``channel`` are empty where not told."""

    well: str
    site: int
    channel: str
    z: int
    t: int
    plate: str


def compiled(pattern: str) -> re.Pattern[str]:
    """The user's regex, checked.

    Raises:
        InputError: it is no regex, has no well, or has groups of unknown names.
    """
    try:
        regex = re.compile(pattern)
    except re.error as error:
        raise InputError(f"--pattern {pattern!r} is no regular expression: {error}.") from error
    groups = set(regex.groupindex)
    unknown = sorted(groups - set(GROUPS))
    if unknown:
        raise InputError(
            f"--pattern has unknown groups {', '.join(unknown)}: allowed are {', '.join(GROUPS)}."
        )
    if "well" not in groups and not {"row", "column"} <= groups:
        raise InputError(
            f"--pattern {pattern!r} does not say where the well stands: add (?P<well>[A-P][0-9]+), "
            "or (?P<row>...) and (?P<column>...)."
        )
    return regex


def parse(regex: re.Pattern[str], path: str) -> PatternName | str | None:
    """The parts of a path; None where the regex does not match; a reason where the match makes no sense."""
    match = regex.search(path)
    if match is None:
        return None
    parts = {name: value for name, value in match.groupdict().items() if value is not None}
    text = parts.get("well", "") or row_letters(parts.get("row", "")) + parts.get("column", "")
    well = plausible_well(text)
    if not well:
        return f"{text!r} is no well (A01 to AF48)"
    numbers: dict[str, int] = {}
    for name, value in (
        ("site", parts.get("site") or parts.get("field")),
        ("z", parts.get("z")),
        ("t", parts.get("t")),
    ):
        if value and not (value.isascii() and value.isdecimal() and len(value) <= 9):
            return f"{name} {value!r} is no number"
        if value:
            numbers[name] = int(value)
    return PatternName(
        well,
        numbers.get("site", 1),
        parts.get("channel", "").strip(),
        numbers.get("z", 1),
        numbers.get("t", 1),
        parts.get("plate", ""),
    )


class PatternReader:
    """Plates whose file names follow a pattern: the user's, or one of :data:`BUILT_IN`."""

    name = "pattern"
    priority = 40

    def recognise(self, listing: Listing) -> bool:
        """A built-in pattern fits at least half of the images."""
        return not listing.single and _built_in(listing) is not None

    def read(self, listing: Listing, options: ReadOptions) -> Plate:
        """The plate that the pattern finds.

        Raises:
            InputError: a bad pattern, one that fits no file, or several plates.
        """
        regex = compiled(options.pattern) if options.pattern else _built_in(listing)
        if regex is None:
            raise InputError(
                f"no built-in pattern ({', '.join(BUILT_IN)}) fits the names in {listing.name}: "
                "give --pattern."
            )
        records: list[FileRecord] = [no_image(file.path) for file in listing.others()]
        named: list[tuple[FoundFile, PatternName]] = []
        for file in listing.images():
            parts = parse(regex, file.path)
            if parts is None:
                records.append(unfitting(file, self.name))
            elif isinstance(parts, str):
                records.append(quarantined(file.path, parts))
            else:
                named.append((file, parts))
        if not named:
            example = next((file.path for file in listing.images()), "no image at all")
            raise InputError(
                f"--pattern {regex.pattern!r} fits none of the {len(listing.images())} images below "
                f"{listing.name}: the first is {example}."
            )
        _refuse_several(listing, named)
        first_site = min(1, *(parts.site for _, parts in named), 1)
        first_z = min(1, *(parts.z for _, parts in named), 1)
        first_t = min(1, *(parts.t for _, parts in named), 1)
        sightings = [
            Sighting(
                file,
                parts.channel or GREY,
                parts.well,
                parts.site - first_site + 1,
                parts.t - first_t,
                parts.z - first_z,
            )
            for file, parts in named
        ]
        return assemble(
            listing,
            name=named[0][1].plate or listing.name,
            layout=self.name,
            sightings=sightings,
            records=records,
            channels=sorted({sighting.channel for sighting in sightings}, key=natural_key),
        )


def _built_in(listing: Listing) -> re.Pattern[str] | None:
    images = listing.images()
    for pattern in BUILT_IN.values():
        regex = re.compile(pattern)
        fitting = sum(1 for file in images if isinstance(parse(regex, file.path), PatternName))
        if fitting and 2 * fitting >= len(images):
            return regex
    return None


def _refuse_several(listing: Listing, named: list[tuple[FoundFile, PatternName]]) -> None:
    """Several values of ``plate``, or the same planes in several folders, are several plates."""
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
        listed = "\n".join(f"  {listing.root}/{folder}".rstrip("/") for folder in clashing)
        raise InputError(
            f"{listing.name} holds the same wells in {len(clashing)} folders. Run each alone:\n{listed}"
        )
