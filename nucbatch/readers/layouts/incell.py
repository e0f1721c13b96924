"""Layout of IN Cell Analyzer (GE, Cytiva): ``A - 1(fld 1 wv UV - DAPI z 07).tif`` with an ``.xdce``.

- Names hold the well, the field from 1, the filters of excitation and emission, and perhaps a z-step and a
  time point from 1. The images may lie in folders of their wells.
- The .xdce lists the images and decides where it agrees with the names. Listed images that do not exist are
  gaps, and images that it does not list are quarantined.
- A damaged .xdce, or one that contradicts the names, is quarantined, and the names decide.
- Places of fields in their well are known, and not which way their y runs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nucbatch.core.errors import InputError, UnreadableImage
from nucbatch.core.escape import printable
from nucbatch.core.pixel_size import not_square_remark
from nucbatch.core.plate import Channel, FileRecord, Plate
from nucbatch.core.plate_geometry import plausible_well
from nucbatch.readers.assemble import FieldFacts, FieldKey, Sighting, assemble, unfitting
from nucbatch.readers.contract import Example, ReadOptions
from nucbatch.readers.layouts.incell_xdce import Wavelength, Xdce, XdceImage, read_xdce
from nucbatch.readers.layouts.listed_planes import ListedPlane, losses
from nucbatch.readers.layouts.one_plate import several_plates
from nucbatch.readers.listing import Listing
from nucbatch.readers.names import natural_key, plural
from nucbatch.readers.rules import ignored, no_image, quarantined
from nucbatch.readers.untried import untried

_STEP = r" z [0-9]{1,4}| t(?:ime)? [0-9]{1,5}(?: - [0-9.]+ ?(?:ms|s|min|m|h)?)?"
_NAME = re.compile(
    r"(?P<row>[A-Z]{1,2}) ?- ?(?P<column>[0-9]{1,2}) ?\(fld (?P<field>[0-9]{1,4})"
    rf"(?P<before>(?:{_STEP})*) wv (?P<channel>.+?)(?P<after>(?:{_STEP})*)\)\.(?:tiff?|png|jpe?g)",
    re.IGNORECASE,
)
_STEPS = re.compile(r" (z|t)(?:ime)? ([0-9]+)", re.IGNORECASE)
_WELL_FOLDER = re.compile(r"([A-Z]{1,2}) ?[-_]? ?0*([1-9][0-9]?)", re.IGNORECASE)
_SIDE_FILES = (".xdce", ".xlog", ".xaqp")


@dataclass(frozen=True, slots=True)
class InCellName:
    """Parts of an IN Cell file name.

    Attributes:
        well: normalised well name.
        field: from 1.
        channel: filters of excitation and emission, ``UV - DAPI``.
        z: z-step, from 0.
        t: time point, from 0.
    """

    well: str
    field: int
    channel: str
    z: int
    t: int


def parse(path: str) -> InCellName | None:
    """Parses a path; None if its name is not one of IN Cell."""
    match = _NAME.fullmatch(path.rpartition("/")[2])
    well = plausible_well(match["row"] + match["column"]) if match else ""
    if match is None or not well:
        return None
    steps = _STEPS.findall(match["before"] + match["after"])
    numbers = {letter.lower(): max(int(number) - 1, 0) for letter, number in steps}
    if len(numbers) < len(steps):
        return None
    z, t = numbers.get("z", 0), numbers.get("t", 0)
    return InCellName(well, int(match["field"]), match["channel"].strip(), z, t)


class InCellReader:
    """Reads plates of IN Cell Analyzer."""

    name = "incell"
    priority = 33
    example = Example(
        {
            **{
                f"A - {c}(fld {f} wv {wave}).tif": None
                for c in (1, 2)
                for f in (1, 2)
                for wave in ("UV - DAPI", "FITC - FITC")
            },
            "A - 3(fld 1 wv UV - DAPI).tif": b"II*\0",
            "plate.xdce": b"<ImageStack>",
            "stray.tif": None,
        }
    )

    def recognise(self, listing: Listing) -> bool:
        """Returns whether at least half of the images have such names, or an .xdce lies beside images."""
        if listing.single or not listing.images():
            return False
        if any(file.path.lower().endswith(".xdce") for file in listing.others()):
            return True
        return listing.mostly(parse)

    def read(self, listing: Listing, options: ReadOptions) -> Plate:
        """Returns the single plate below the listing's root.

        Raises:
            InputError: several plates, or neither names nor an .xdce tell what the images are.
        """
        records: list[FileRecord] = []
        named = {file.path: name for file in listing.images() if (name := parse(file.path))}
        xdce = _xdce(listing, named, records)
        _require_one_plate(listing, named, xdce)
        if xdce.path:
            return _listed_plate(listing, xdce, records)
        if not named:
            raise InputError(_without_names(listing, records))
        sightings = []
        for file in listing.images():
            name = named.get(file.path)
            if name is None:
                records.append(unfitting(file, self.name))
            else:
                sightings.append(Sighting(file, name.channel, name.well, name.field, name.t, name.z))
        channels: list[str] = sorted({sighting.channel for sighting in sightings}, key=natural_key)
        return assemble(
            listing,
            name=listing.name,
            layout=self.name,
            sightings=sightings,
            records=records,
            channels=channels,
            evidence="names",
            remarks=[untried("Names and .xdce of IN Cell")],
        )


def _without_names(listing: Listing, records: Sequence[FileRecord]) -> str:
    faults = [record for record in records if record.path.lower().endswith(".xdce")]
    why = f"{printable(faults[0].path)} can't be used ({faults[0].reason})" if faults else "there is no .xdce"
    return (
        f"{printable(listing.name)} holds no image with a name of IN Cell, such as A - 1(fld 1 wv UV - "
        f"DAPI).tif, and {why}: restore the .xdce, or give --pattern. If each file really is an image of its "
        "own, add --layout folder."
    )


def _require_one_plate(listing: Listing, named: Mapping[str, InCellName], xdce: Xdce) -> None:
    """Checks that all images belong to the .xdce, or lie in one folder apart from the folders of wells.

    Raises:
        InputError: there are several plates.
    """
    top = xdce.path.rpartition("/")[0] if xdce.path else None
    folders = set() if top is None else {top}
    for path, name in named.items():
        if top is not None and (not top or path.startswith(f"{top}/")):
            continue
        parts = path.split("/")[:-1]
        while parts and (match := _WELL_FOLDER.fullmatch(parts[-1])):
            if plausible_well(match[1] + match[2]) != name.well:
                break
            parts.pop()
        folders.add("/".join(parts))
    if len(folders) > 1:
        raise several_plates(listing, sorted(folders))


def _xdce(listing: Listing, named: Mapping[str, InCellName], records: list[FileRecord]) -> Xdce:
    """Reads the plate's .xdce, and records all files that are no images.

    Raises:
        InputError: there are several.
    """
    tables = [file for file in listing.others() if file.path.lower().endswith(".xdce")]
    folders = sorted({file.path.rpartition("/")[0] for file in tables})
    if len(folders) > 1:
        raise several_plates(listing, folders)
    if len(tables) > 1:
        names = ", ".join(printable(file.path.rpartition("/")[2]) for file in tables[:6])
        raise InputError(
            f"{printable(listing.name)} holds {len(tables)} .xdce files in one folder ({names}), each for a "
            "plate of its own. Put each into a folder of its own with its images."
        )
    for file in listing.others():
        if file not in tables:
            known = file.path.lower().endswith(_SIDE_FILES)
            records.append(ignored(file.path, "vendor-metadata") if known else no_image(file.path))
    if not tables:
        return Xdce()
    path = tables[0].path
    try:
        xdce = read_xdce(listing, path)
        problem = _contradiction(listing, xdce, named)
    except UnreadableImage as error:
        problem = str(error).removeprefix(f"{path}: ")
    if problem:
        records.append(quarantined(path, f"{problem}. The names of the images decide without it"))
        return Xdce()
    records.append(ignored(path, "vendor-metadata"))
    return xdce


def _contradiction(listing: Listing, xdce: Xdce, named: Mapping[str, InCellName]) -> str:
    """Returns why an .xdce cannot be trusted; empty if it can."""
    if xdce.unreadable:
        return f"it lists {plural(xdce.unreadable, 'image')} without a usable well, field or wavelength"
    listed = {image.file.casefold(): image for image in xdce.images}
    if len(listed) < len(xdce.images):
        return f"it lists {plural(len(xdce.images) - len(listed), 'image')} twice"
    if not any(_listed_name(file.path) in listed for file in listing.images()):
        return f"it lists {plural(len(listed), 'image')} and none of these"
    channels = {wave.channel.casefold(): number for number, wave in xdce.waves.items()}
    for path, name in named.items():
        image = listed.get(_listed_name(path))
        if image and (image.well, image.field, image.z, image.t) != (name.well, name.field, name.z, name.t):
            return (
                f"it has well {image.well}, field {image.field}, z {image.z + 1} and time {image.t + 1} for "
                f"{printable(image.file)}"
            )
        if image and channels.get(name.channel.casefold(), image.wave) != image.wave:
            return f"it has another channel for {printable(image.file)}"
    return ""


def _listed_name(path: str) -> str:
    """Returns a file's name as names are compared with those of the .xdce: Windows ignores case."""
    return path.rpartition("/")[2].casefold()


def _listed_plate(listing: Listing, xdce: Xdce, records: list[FileRecord]) -> Plate:
    channels = _channels(xdce.waves)
    absent = {image.file.casefold(): image for image in xdce.images}
    listed = dict(absent)
    thumbnails = {name.casefold() for name in xdce.thumbnails}
    sightings: list[Sighting] = []
    for file in listing.images():
        name = _listed_name(file.path)
        image = listed.get(name)
        if image:
            absent.pop(name, None)
            channel = channels[image.wave].name
            sightings.append(Sighting(file, channel, image.well, image.field, image.t, image.z))
        elif name in thumbnails:
            records.append(ignored(file.path, "thumbnail"))
        else:
            records.append(quarantined(file.path, f"{xdce.path} lists no image of this name"))
    gaps, lacking = losses(
        (ListedPlane(image.file, _key(image), channels[image.wave].name) for image in absent.values()),
        {sighting.key for sighting in sightings},
        xdce.path,
    )
    facts: dict[FieldKey, FieldFacts] = {}
    for image in xdce.images:
        place = xdce.offsets_um.get(image.field)
        facts.setdefault(
            _key(image), FieldFacts(pixel_size_um=xdce.pixel_size_um, time=image.time, stage_um=place)
        )
    return assemble(
        listing,
        name=xdce.path.rpartition("/")[2].rpartition(".")[0],
        layout=InCellReader.name,
        sightings=sightings,
        records=records,
        channels=[channels[wave] for wave in sorted({image.wave for image in xdce.images})],
        gaps=gaps,
        lacking=lacking,
        facts=facts,
        rows=xdce.rows,
        columns=xdce.columns,
        evidence="side file",
        remarks=[
            untried("Names and .xdce of IN Cell"),
            *([not_square_remark(*xdce.oblong_um, xdce.path)] if xdce.oblong_um else []),
        ],
    )


def _key(image: XdceImage) -> FieldKey:
    return image.well, image.field, image.t


def _channels(waves: Mapping[int, Wavelength]) -> dict[int, Channel]:
    """Returns the channel of each wavelength; ``wv <N>`` where filters are not recorded or not unique."""
    names = [wave.channel for wave in waves.values()]
    emissions = [wave.emission for wave in waves.values()]
    return {
        number: Channel(
            wave.channel if wave.channel and names.count(wave.channel) == 1 else f"wv {number + 1}",
            number,
            (wave.emission,) if wave.emission and emissions.count(wave.emission) == 1 else (),
            wave.excitation_nm,
            wave.emission_nm,
        )
        for number, wave in waves.items()
    }
