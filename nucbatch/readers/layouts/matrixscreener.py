"""Layout of Leica MatrixScreener: ``slide--S00/chamber--U00--V00/field--X00--Y00/image--….ome.tif``.

- U is the well's column and V its row. X and Y are the field's column and row in the well. All count from 0,
  as T, Z and C do.
- L (scan) and J (job) tell acquisitions apart, and E (loop) and O do if a plane occurs in several. If there
  are several acquisitions, one must be chosen.
- Each slide S is a plate of its own.
- ``metadata/*.ome.xml`` in the folders of the fields records stage positions
  (:mod:`nucbatch.readers.layouts.matrixscreener_positions`).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from nucbatch.core.errors import InputError, UnreadableImage
from nucbatch.core.escape import printable
from nucbatch.core.plate import FileRecord, Plate
from nucbatch.core.plate_geometry import plausible_well, row_letters
from nucbatch.readers.assemble import FieldFacts, Sighting, assemble, unfitting
from nucbatch.readers.contract import Example, ReadOptions
from nucbatch.readers.layouts.matrixscreener_positions import Place, Position, on_grid, stage_position
from nucbatch.readers.layouts.one_plate import several_plates
from nucbatch.readers.listing import FoundFile, Listing
from nucbatch.readers.names import plural
from nucbatch.readers.rules import ignored, no_image, quarantined

_IMAGE = re.compile(r"image((?:--[LSUVJEOXYTZC][0-9]{1,6})+)(?:\.ome)?\.(?:tiff?|png|jpe?g)", re.IGNORECASE)
_METADATA = re.compile(r"image((?:--[LSUVJEOXYTZC][0-9]{1,6})+)\.ome\.xml", re.IGNORECASE)
_PART = re.compile(r"--([A-Z])([0-9]+)", re.IGNORECASE)
_PLATE_PART = re.compile(r"[a-z]+--[SUX][0-9]+(?:--[VY][0-9]+)?", re.IGNORECASE)
_SETTINGS = (".xml", ".lrp", ".txt")
_ACQUISITION = "LJEO"
_COUNTS_FROM = "Wells are counted from the scan's first chamber: U00--V00 is A01."
_OFF_GRID = (
    "Stage positions are not used: they do not follow the grid of fields in the names, so it is not certain "
    "how the stage's axes run."
)

Numbers = dict[str, int]
"""Numbers of a name by letter, such as ``{"U": 0, "V": 1, ...}``."""


@dataclass(frozen=True, slots=True)
class _Grid:
    """Grid of fields, the same in all wells."""

    x0: int
    y0: int
    columns: int

    def site(self, numbers: Numbers) -> int:
        return (numbers["Y"] - self.y0) * self.columns + numbers["X"] - self.x0 + 1


def parse(path: str) -> Numbers | None:
    """Parses a path; None if its name is not one of an image of MatrixScreener."""
    return _numbers(_IMAGE.fullmatch(path.rpartition("/")[2]))


def _numbers(match: re.Match[str] | None) -> Numbers | None:
    if match is None:
        return None
    found = {part[1].upper(): int(part[2]) for part in _PART.finditer(match[1])}
    return found if {"U", "V", "X", "Y"} <= found.keys() else None


class MatrixScreenerReader:
    """Reads plates of Leica's MatrixScreener."""

    name = "matrixscreener"
    priority = 34
    example = Example(
        {
            **{
                f"slide--S00/chamber--U0{u}--V00/field--X0{x}--Y00/"
                f"image--L0000--S00--U0{u}--V00--J08--E00--O00--X0{x}--Y00--T0000--Z00--C0{c}.ome.tif": None
                for u in (0, 1)
                for x in (0, 1)
                for c in (0, 1)
            },
            "slide--S00/chamber--U01--V01/field--X00--Y00/"
            "image--L0000--S00--U01--V01--J08--E00--O00--X00--Y00--T0000--Z00--C00.ome.tif": b"II*\0",
            "AdditionalData/scan.lrp": b"settings",
            "overview.tif": None,
        }
    )

    def recognise(self, listing: Listing) -> bool:
        """Returns whether at least half of the images have such names."""
        return listing.mostly(parse)

    def read(self, listing: Listing, options: ReadOptions) -> Plate:
        """Returns the plate of one slide and one acquisition.

        Raises:
            InputError: several slides or experiments, or several acquisitions and none chosen.
        """
        records: list[FileRecord] = []
        named: list[tuple[FoundFile, Numbers]] = []
        for file in listing.images():
            numbers = parse(file.path)
            if numbers is None:
                records.append(unfitting(file, self.name))
            elif not _well(numbers):
                records.append(
                    quarantined(file.path, f"no plate has a well U{numbers['U']}--V{numbers['V']}")
                )
            else:
                named.append((file, numbers))
        if not named:
            raise InputError(
                f"{printable(listing.name)} holds no image with a name of MatrixScreener, such as image--"
                "L00--S00--U00--V00--J08--E00--O00--X00--Y00--T00--Z00--C00.ome.tif: leave out --layout "
                "matrixscreener."
            )
        _require_one_slide(listing, named)
        named, others, acquisition = _one_acquisition(listing, named, options.acquisition)
        records += [ignored(file.path, "other-acquisition") for file in others]
        columns = [numbers["X"] for _, numbers in named]
        grid = _Grid(min(columns), min(n["Y"] for _, n in named), max(columns) - min(columns) + 1)
        chosen = {_acquisition(numbers) for _, numbers in named}
        placed, off_grid = on_grid(_metadata(listing, chosen, records))
        sightings = [
            Sighting(file, f"C{n.get('C', 0):02d}", _well(n), grid.site(n), n.get("T", 0), n.get("Z", 0))
            for file, n in named
        ]
        facts = {
            sighting.key: FieldFacts(placed.get(_place(n)), acquisition=acquisition)
            for sighting, (_, n) in zip(sightings, named, strict=True)
        }
        plate = assemble(
            listing,
            name=listing.name,
            layout=self.name,
            sightings=sightings,
            records=records,
            channels=sorted({sighting.channel for sighting in sightings}),
            facts=facts,
            evidence="side file" if placed else "names",
            remarks=[_COUNTS_FROM, *([_OFF_GRID] if off_grid else [])],
        )
        return replace(plate, acquisition=acquisition)


def _well(numbers: Numbers) -> str:
    return plausible_well(f"{row_letters(numbers['V'])}{numbers['U'] + 1}")


def _place(numbers: Numbers) -> Place:
    return numbers["U"], numbers["V"], numbers["X"], numbers["Y"]


def _require_one_slide(listing: Listing, named: Sequence[tuple[FoundFile, Numbers]]) -> None:
    """Checks that all images are of one slide of one experiment.

    Raises:
        InputError: there are several; the message has the command for each.
    """
    slides: dict[tuple[str, int], str] = {}
    for file, numbers in named:
        parts = file.path.split("/")[:-1]
        first = next((i for i, part in enumerate(parts) if _PLATE_PART.fullmatch(part)), len(parts))
        below = first < len(parts) and re.search("--S", parts[first], re.IGNORECASE)
        slides.setdefault(
            ("/".join(parts[:first]), numbers.get("S", 0)), "/".join(parts[: first + bool(below)])
        )
    if len(set(slides.values())) > 1:
        raise several_plates(listing, sorted(set(slides.values())))
    if len(slides) > 1:
        numbers_text = ", ".join(f"S{slide:02d}" for _, slide in sorted(slides))
        raise InputError(
            f"{printable(listing.name)} mixes images of {len(slides)} slides in one folder ({numbers_text}). "
            "Put each slide into a folder of its own."
        )


def _one_acquisition(
    listing: Listing, named: Sequence[tuple[FoundFile, Numbers]], wanted: str
) -> tuple[list[tuple[FoundFile, Numbers]], list[FoundFile], str]:
    """Returns the images of one acquisition, the files of the others, and the acquisition's name.

    Raises:
        InputError: several acquisitions, and ``wanted`` does not choose one of them.
    """
    asked = {part[1].upper(): int(part[2]) for part in _PART.finditer(f"--{wanted}")}
    known = set(asked) <= set(_ACQUISITION) and (bool(asked) or not wanted)
    kept = [(file, numbers) for file, numbers in named if known and asked.items() <= _full(numbers).items()]
    letters = _separating(numbers for _, numbers in kept)
    if len({_acquisition(numbers, letters) for _, numbers in kept}) != 1:
        raise InputError(_which_acquisition(listing, [numbers for _, numbers in named], wanted))
    others = {file for file, _ in named} - {file for file, _ in kept}
    number_of = _full(kept[0][1])
    shown = [letter for letter in _ACQUISITION if letter in letters or letter in asked]
    name = "--".join(f"{letter}{number_of[letter]:02d}" for letter in shown)
    return kept, sorted(others, key=lambda file: file.path), name if wanted or others else ""


def _which_acquisition(listing: Listing, found: Sequence[Numbers], wanted: str) -> str:
    root = printable(shlex.quote(listing.root))
    letters = _separating(found)
    varying = [one for one in letters if len({_full(numbers)[one] for numbers in found}) > 1] or ["J"]
    several = sorted({_acquisition(numbers, "".join(varying)) for numbers in found})
    names = ["--".join(f"{letter}{n:02d}" for letter, n in zip(varying, one, strict=True)) for one in several]
    return (
        f"{printable(listing.name)} holds {plural(len(several), 'acquisition')} (scan L, job J, loop E, O)"
        + (f", and --acquisition {wanted!r} does not choose one of them" if wanted else "")
        + ". Read one:\n"
        + "\n".join(f"  nucbatch inspect {root} --acquisition {name}" for name in names)
    )


def _separating(found: Iterable[Numbers]) -> str:
    """Returns the letters that tell acquisitions apart: E and O only if a plane of a job occurs in several.

    A job that is run on demand may take each field in another loop.
    """
    loops: dict[tuple[int, ...], tuple[int, ...]] = {}
    for numbers in found:
        plane = tuple(numbers.get(letter, 0) for letter in "LJUVXYTZC")
        if loops.setdefault(plane, _acquisition(numbers, "EO")) != _acquisition(numbers, "EO"):
            return _ACQUISITION
    return "LJ"


def _full(numbers: Numbers) -> Numbers:
    """Returns the numbers of an acquisition; those that a name lacks are 0."""
    return {letter: numbers.get(letter, 0) for letter in _ACQUISITION}


def _acquisition(numbers: Numbers, letters: str = _ACQUISITION) -> tuple[int, ...]:
    return tuple(numbers.get(letter, 0) for letter in letters)


def _metadata(
    listing: Listing, chosen: Collection[tuple[int, ...]], records: list[FileRecord]
) -> dict[Place, Position]:
    """Reads the stage's position of each field, and records all files that are no images."""
    positions: dict[Place, Position] = {}
    for file in listing.others():
        path = PurePosixPath(file.path)
        numbers = _numbers(_METADATA.fullmatch(path.name))
        if numbers is None or _acquisition(numbers) not in chosen or _place(numbers) in positions:
            known = numbers is not None or path.suffix.lower() in _SETTINGS
            records.append(ignored(file.path, "vendor-metadata") if known else no_image(file.path))
            continue
        try:
            found = stage_position(listing, file.path)
        except UnreadableImage as error:
            records.append(quarantined(file.path, str(error).removeprefix(f"{file.path}: ")))
            continue
        records.append(ignored(file.path, "vendor-metadata"))
        if found is not None:
            positions[_place(numbers)] = found
    return positions
