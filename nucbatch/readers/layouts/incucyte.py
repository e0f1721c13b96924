"""Layout of Incucyte: its archive, and its exports.

- Archive: ``EssenFiles/ScanData/YYMM/DD/HHMM/<vessel>/A1-1-C1.tif``, with well, field and channel (C1, C2,
  Ph). The folders are the time of the scan. A vessel is a plate; if there are several, one is chosen.
- Export: ``VID1607_C1_2_00d00h00m.tif``, with well, field and elapsed time, or date and time
  (``VID1607_C1_2_2023y01m31d_16h07m.tif``). The channel is the folder
  (``green/``) or the last word of the prefix (``exp_Phase_A1_1_00d00h00m.tif``).

Time points are numbered in order of time, over the scans that are there. Names record neither pixel size nor
positions.

Source: names quoted in public code for Incucyte archives and exports.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from nucbatch.core.errors import InputError
from nucbatch.core.escape import printable
from nucbatch.core.plate import FileRecord, Plate
from nucbatch.core.plate_geometry import plausible_well
from nucbatch.readers.assemble import FieldFacts, Sighting, assemble, unfitting
from nucbatch.readers.contract import Example, ReadOptions
from nucbatch.readers.layouts.one_plate import several_plates
from nucbatch.readers.layouts.stains import is_stain
from nucbatch.readers.listing import FoundFile, Listing
from nucbatch.readers.names import GREY, natural_key
from nucbatch.readers.rules import ignored, no_image
from nucbatch.readers.untried import untried

_END = r"\.(?:tiff?|png|jpe?g)"
_RAW = re.compile(
    rf"(?P<well>[A-Z]{{1,2}}[0-9]{{1,2}})-(?P<field>[0-9]{{1,4}})-(?P<channel>C[0-9]{{1,2}}|Ph){_END}",
    re.IGNORECASE,
)
_SCAN = re.compile(r"(?P<above>.*?)/(?P<time>[0-9]{4}/[0-9]{2}/[0-9]{4})/(?P<vessel>[^/]+)/[^/]+")
_EXPORT = re.compile(
    r"(?:(?P<prefix>.+?)_)?(?P<well>[A-Z]{1,2}[0-9]{1,2})_(?P<field>[0-9]{1,4})_"
    rf"(?P<time>(?:(?P<date>[0-9]{{4}}y[0-9]{{2}}m[0-9]{{2}})d_|(?P<days>[0-9]{{1,3}})d)(?P<hours>[0-9]{{1,2}})h(?P<minutes>[0-9]{{1,2}})m){_END}",
    re.IGNORECASE,
)
_CHANNEL = re.compile(
    r"(?:.*[ _-])?(?:ph|phase|green|red|orange|nir|near[ _-]?ir)(?:[ _-].*)?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class IncucyteName:
    """Parts of a path.

    Attributes:
        plate: the same for all images of a plate: the folder above the scans, or the folder and prefix of an
            export.
        vessel: folder of the vessel; empty for exports, and for an archive's images outside it.
        well: normalised well name.
        field: from 1.
        channel: empty if the name has none.
        time: as written; empty if the name has none.
        order: sorts times.
    """

    plate: str
    vessel: str
    well: str
    field: int
    channel: str
    time: str
    order: tuple[int, ...] = ()


def parse_raw(path: str) -> IncucyteName | None:
    """Parses the absolute path of an archive's image; None for other paths."""
    folder, _, name = path.rpartition("/")
    match = _RAW.fullmatch(name)
    well = plausible_well(match["well"]) if match else ""
    if match is None or not well:
        return None
    scan = _SCAN.fullmatch(path)
    field, channel = int(match["field"]), match["channel"].capitalize()
    if scan is None:
        return IncucyteName(folder, "", well, field, channel, "")
    order = tuple(map(int, scan["time"].split("/")))
    return IncucyteName(scan["above"], scan["vessel"], well, field, channel, scan["time"], order)


def parse_export(path: str) -> IncucyteName | None:
    """Parses the absolute path of an exported image; None for other paths."""
    folder, _, name = path.rpartition("/")
    match = _EXPORT.fullmatch(name)
    well = plausible_well(match["well"]) if match else ""
    if match is None or not well:
        return None
    prefix, _, last = (match["prefix"] or "").rpartition("_")
    channel = last if _is_channel(last) else ""
    if not channel:
        prefix = match["prefix"] or ""
        above, _, last = folder.rpartition("/")
        if _is_channel(last):
            folder, channel = above, last
    days = int(match["days"]) if match["date"] is None else _day(match["date"])
    if days is None:
        return None
    order = (days * 1440 + int(match["hours"]) * 60 + int(match["minutes"]),)
    return IncucyteName(f"{folder}/{prefix}", "", well, int(match["field"]), channel, match["time"], order)


def _day(text: str) -> int | None:
    """Returns the number of a day written ``2023y01m31``; None for a date that does not exist."""
    try:
        return date(*map(int, re.split("[ym]", text, flags=re.IGNORECASE))).toordinal()
    except ValueError:
        return None


def _is_channel(text: str) -> bool:
    return is_stain(text) or _CHANNEL.fullmatch(text) is not None


class IncucyteReader:
    """Reads plates of Incucyte, from its archive or as exported."""

    name = "incucyte"
    priority = 36
    example = Example(
        {
            **{
                f"EssenFiles/ScanData/2505/16/{time}/1248/{well}-1-{channel}.tif": None
                for time in ("1124", "1524")
                for well in ("A1", "B12")
                for channel in ("C1", "Ph")
            },
            "EssenFiles/ScanData/2505/16/1124/1248/A2-1-C1.tif": b"II*\0",
            "EssenFiles/ScanData/2505/16/1124/Diag.zip": b"PK",
            "odd.tif": None,
        }
    )

    def recognise(self, listing: Listing) -> bool:
        """Returns whether at least half of the images have names of an archive or of an export."""
        return listing.mostly(lambda path: parse_raw(f"{listing.root}/{path}")) or listing.mostly(
            lambda path: parse_export(f"{listing.root}/{path}")
        )

    def read(self, listing: Listing, options: ReadOptions) -> Plate:
        """Returns the plate of one vessel or export.

        Raises:
            InputError: several plates, or several vessels and none chosen.
        """
        records: list[FileRecord] = [no_image(file.path) for file in listing.others()]
        raw, export = (_named(listing, parse) for parse in (parse_raw, parse_export))
        named = raw if len(raw) >= len(export) else export
        if not named:
            raise InputError(
                f"{printable(listing.name)} holds no image with a name of Incucyte, such as A1-1-C1.tif or "
                "VID1607_C1_2_00d00h00m.tif: leave out --layout incucyte."
            )
        fitting = {file.path for file, _ in named}
        records += [unfitting(file, self.name) for file in listing.images() if file.path not in fitting]
        _require_one_plate(listing, named)
        vessel = _vessel(listing, {name.vessel for _, name in named}, options.acquisition)
        records += [ignored(file.path, "other-acquisition") for file, name in named if name.vessel != vessel]
        named = [(file, name) for file, name in named if name.vessel == vessel]
        order = {moment: t for t, moment in enumerate(sorted({name.order for _, name in named}))}
        sightings = [
            Sighting(file, name.channel or GREY, name.well, name.field, order[name.order])
            for file, name in named
        ]
        acquisition = vessel if options.acquisition or len(named) < len(fitting) else ""
        facts = {
            sighting.key: FieldFacts(acquisition=acquisition, time=name.time)
            for sighting, (_, name) in zip(sightings, named, strict=True)
        }
        channels: list[str] = sorted({sighting.channel for sighting in sightings}, key=natural_key)
        plate = assemble(
            listing,
            name=vessel or listing.name,
            layout=self.name,
            sightings=sightings,
            records=records,
            channels=channels,
            facts=facts,
            evidence="names",
            remarks=[untried("Names of Incucyte", "wells, fields, channels and times")],
        )
        return replace(plate, acquisition=acquisition)


def _named(
    listing: Listing, parse: Callable[[str], IncucyteName | None]
) -> list[tuple[FoundFile, IncucyteName]]:
    return [(file, name) for file in listing.images() if (name := parse(f"{listing.root}/{file.path}"))]


def _require_one_plate(listing: Listing, named: Sequence[tuple[FoundFile, IncucyteName]]) -> None:
    """Checks that images lie in one archive, or in one export with one prefix.

    Raises:
        InputError: there are several plates.
    """
    plates = sorted({name.plate for _, name in named})
    if len(plates) == 1:
        return
    if all(name.vessel for _, name in named):
        raise several_plates(listing, [plate.removeprefix(listing.root).strip("/") for plate in plates])
    folders = sorted({file.path.rpartition("/")[0] for file, _ in named})
    if len({plate.rpartition("/")[2] for plate in plates}) == len(plates) and len(folders) == 1:
        prefixes = ", ".join(printable(plate.rpartition("/")[2]) or "none" for plate in plates[:6])
        raise InputError(
            f"{printable(listing.name)} mixes exports of {len(plates):,} plates in one folder ({prefixes}). "
            "Put each into a folder of its own."
        )
    hint = (
        "\nIf the folders are channels of one plate, name them after their channels (phase, green, red, "
        "orange, nir), or give --pattern with (?P<channel>...) for the folder."
    )
    raise several_plates(listing, folders, hint=hint)


def _vessel(listing: Listing, vessels: Iterable[str], wanted: str) -> str:
    """Returns the vessel to read.

    Raises:
        InputError: there are several and none is chosen, or there is no such vessel.
    """
    found = sorted(vessels, key=natural_key)
    if wanted in found:
        return wanted
    if len(found) == 1 and not wanted:
        return found[0]
    root = printable(shlex.quote(listing.root))
    commands = "\n".join(
        f"  nucbatch run {root} --acquisition {printable(shlex.quote(vessel))} -o out/{vessel}"
        for vessel in found
        if vessel
    )
    shown = ", ".join(printable(vessel) or "none" for vessel in found)
    raise InputError(
        f"{printable(listing.name)} holds the vessels {shown}, each a plate of its own"
        + (f", and no {wanted!r}" if wanted else "")
        + (f". Run each alone:\n{commands}" if commands else ".")
    )
