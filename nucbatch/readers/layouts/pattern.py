"""Layout of plates and images whose file names match a regex: the user's, or a built-in one.

:mod:`nucbatch.readers.layouts.name_pattern` explains the groups of a regex. The built-in patterns ignore case
and are tried in a fixed order without being asked for. The first that matches at least half of the images is
used.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable

from nucbatch.core.errors import InputError
from nucbatch.core.escape import printable
from nucbatch.core.plate import FileRecord, Plate
from nucbatch.core.plate_geometry import row_index
from nucbatch.readers.assemble import Sighting, assemble, unfitting
from nucbatch.readers.contract import Example, ReadOptions
from nucbatch.readers.layouts.name_columns import are_padded
from nucbatch.readers.layouts.name_pattern import PatternName, compiled, counts_from_zero, read_match
from nucbatch.readers.layouts.one_plate import (
    PlatePosition,
    plate_position,
    require_one_plate,
    several_plates,
)
from nucbatch.readers.layouts.stains import is_numbered_channel, is_stain
from nucbatch.readers.listing import FoundFile, Listing
from nucbatch.readers.names import GREY, natural_key, plural, unique_names
from nucbatch.readers.rules import no_image, quarantined

_END = r"(?:\.ome)?\.(?:tiff?|btf|tf8|png|jpe?g)$"
_ROW_AND_COLUMN = re.compile(
    r"(?<![a-z])r(?:ow)?[ _-]?[0-9]{1,2}[ _-]?c(?:ol(?:umn)?)?[ _-]?[0-9]{1,2}(?![0-9])", re.IGNORECASE
)
_WELL = r"(?P<well>(?:[A-Z]|A[A-F])[0-9]{2}|[A-P][0-9])"
BUILT_IN = {
    # Channel2-01-A-01.tif, Channel 1-01-A-01-00.tif: channel, running number, row, column, perhaps a site
    "running number": r"(?i)(?:^|/)(?P<channel>[A-Z][\w ]*)-[0-9]+-(?P<row>[A-Z]|A[A-F])-(?P<column>[0-9]{2})"
    rf"(?:-(?P<site>[0-9]{{2}}))?{_END}",
    # B03_s1_c2_z0_t0.tif, plate_B03_f01_ch2.tif: each number with its letter
    "lettered": rf"(?i)(?:^|[/_-]){_WELL}[_-][sf](?P<site>[0-9]+)(?:[_-](?:ch?|w)(?P<channel>[0-9]+))?"
    rf"(?:[_-]z(?P<z>[0-9]+))?(?:[_-]t(?P<t>[0-9]+))?{_END}",
    # B03_1_DAPI.tif, B03_DAPI.tif: well, perhaps a site, the stain's name
    "well and stain": rf"(?i)(?:^|[/_-]){_WELL}[_-](?:(?P<site>[0-9]+)[_-])?"
    rf"(?P<channel>[A-Z]+[0-9]{{0,5}}){_END}",
}


class PatternReader:
    """Reads plates whose file names match the user's pattern, or one of :data:`BUILT_IN`."""

    name = "pattern"
    priority = 40
    example = Example(
        {
            **{f"Channel{w}-0{c}-A-0{c}.tif": None for w in (1, 2) for c in (1, 2, 3)},
            "Channel2-04-A-04.tif": b"II*\0",
            "notes.csv": b"a,b",
            "odd.tif": None,
        }
    )

    def recognise(self, listing: Listing) -> bool:
        """Returns whether a built-in pattern matches at least half of the images."""
        return not listing.single and _built_in(listing) is not None

    def read(self, listing: Listing, options: ReadOptions) -> Plate:
        """Returns the plate described by the matched names.

        Raises:
            InputError: an invalid pattern, a pattern that matches no file, or several plates.
        """
        regex = compiled(options.pattern) if options.pattern else _built_in(listing)
        if regex is None:
            raise InputError(
                f"no built-in pattern ({', '.join(BUILT_IN)}) fits the names in {listing.name}: "
                "give --pattern."
            )
        records: list[FileRecord] = [no_image(file.path) for file in listing.others()]
        named: list[tuple[FoundFile, PlatePosition]] = []
        senseless: list[FileRecord] = []
        matches = [(file, regex.search(file.path)) for file in listing.images()]
        from_zero = counts_from_zero(match for _, match in matches if match)
        for file, match in matches:
            parts = read_match(match, from_zero=from_zero) if match else None
            if parts is None:
                records.append(unfitting(file, self.name))
            elif isinstance(parts, str):
                senseless.append(quarantined(file.path, parts))
            elif match:
                named.append((file, plate_position(file.path, match, parts)))
        if not named:
            raise InputError(_fits_none(regex, listing, senseless))
        records += senseless
        if named[0][1].parts.well:
            require_one_plate(listing, [place for _, place in named], lambda: _as_one(listing, regex))
        _refuse_several(listing, [(file, place.parts) for file, place in named])
        said = [place.parts for _, place in named]
        first_site = min(1, *(parts.site for parts in said), 1)
        first_z = min(1, *(parts.z for parts in said), 1)
        first_t = min(1, *(parts.t for parts in said), 1)
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
        channels: list[str] = sorted({sighting.channel for sighting in sightings}, key=natural_key)
        return assemble(
            listing,
            name=said[0].plate or listing.name,
            layout=self.name,
            sightings=sightings,
            records=records,
            channels=channels,
            labels=None if said[0].well else _labels(images, listing.name),
            evidence="names",
        )


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


def _built_in(listing: Listing) -> re.Pattern[str] | None:
    images = listing.images()
    for name, pattern in BUILT_IN.items():
        regex = re.compile(pattern)
        matches = [
            match
            for file in images
            if (match := regex.search(file.path)) and not _names_the_well_before(match)
        ]
        fitting = [match for match in matches if isinstance(read_match(match), PatternName)]
        if not fitting or 2 * len(fitting) < len(images):
            continue
        plausible = {row_index(_row(match)) for match in fitting}
        if min(plausible) > row_index("P") or (name == "well and stain" and not _is_well_and_stain(fitting)):
            continue
        return regex
    return None


def _names_the_well_before(match: re.Match[str]) -> bool:
    """Returns whether row and column precede what looks like a well, as before ``f1`` in ``r02c03-f1-C1``."""
    end = match.end("well") if "well" in match.re.groupindex else match.start()
    return _ROW_AND_COLUMN.search(match.string, 0, end) is not None


def _is_well_and_stain(matches: list[re.Match[str]]) -> bool:
    """Distinguishes ``B3_DAPI`` and ``B03_treated`` from ``M1_control``, which may be a mouse.

    The text is a well if most names have a known stain, or if all wells are written with two digits.
    """
    channels = [match["channel"] for match in matches]
    stained = sum(1 for channel in channels if is_stain(channel) or is_numbered_channel(channel))
    return 2 * stained > len(matches) or are_padded({match["well"] for match in matches})


def _row(match: re.Match[str]) -> str:
    return (match.groupdict().get("row") or match["well"]).rstrip("0123456789")


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


def _as_one(listing: Listing, regex: re.Pattern[str]) -> str:
    """Returns the last lines of the error: a pattern that reads the names as one plate, if there is one."""
    flags = "(?i)" if regex.pattern.startswith("(?i)") else ""
    rest = regex.pattern.removeprefix(flags)
    if rest.startswith("^"):
        return ""
    pattern = f"{flags}^.*?{rest}"
    root = printable(shlex.quote(listing.root))
    return (
        "\nIf they are one plate, let the pattern begin with the folders:\n"
        f"  nucbatch inspect {root} --pattern {shlex.quote(pattern)}"
    )
