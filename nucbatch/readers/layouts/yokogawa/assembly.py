"""Assembles a Yokogawa plate from its images and side files, and gives every other file a record."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.pixel_size import not_square_remark
from nucbatch.core.plate import FileRecord, Plate
from nucbatch.core.plate_geometry import row_index, split_well
from nucbatch.readers.assemble import assemble
from nucbatch.readers.formats.headers import read_header
from nucbatch.readers.layouts.yokogawa.field_planes import arranged
from nucbatch.readers.layouts.yokogawa.measurement_protocol import never_taken
from nucbatch.readers.layouts.yokogawa.measurement_records import Loss, Shot
from nucbatch.readers.layouts.yokogawa.side_files import SideFiles
from nucbatch.readers.listing import Listing
from nucbatch.readers.rules import ignored, no_image, quarantined

_SUFFIXES = frozenset({".mlf", ".mrf", ".mes", ".wpi", ".wpp"})
_XML = frozenset({"crosstalk_parameter.xml", "geometry_parameter.xml"})
_CORRECTIONS = ("sc_", "dc_")


def is_correction(path: str, named: Iterable[str] = ()) -> bool:
    """Returns whether an image is a shading (``SC_…``) or dark (``DC_…``) picture for correction."""
    name = path.rpartition("/")[2]
    return name.lower().startswith(_CORRECTIONS) or name in named


def assembled(
    listing: Listing,
    sides: SideFiles,
    shots: Sequence[Shot],
    losses: Sequence[Loss],
    records: Sequence[FileRecord],
    *,
    layout: str,
    name: str,
    source: str,
    default: str,
    acquisition: str,
    z_steps: bool,
) -> Plate:
    """Assembles the plate.

    Args:
        listing: the input.
        sides: side files of the plate.
        shots: images with their files.
        losses: lost fields, each with a number.
        records: records of all files that are no images of the plate.
        layout: name of the reader.
        name: name of the plate by its files; empty for the title of the measurement.
        source: side file that lists the images; empty if they are known by names alone.
        default: name of a channel that the settings lack, with a place for the number.
        acquisition: the user's choice.
        z_steps: use the z-steps of a channel that has a projection too.

    Raises:
        InputError: several acquisitions of which none is chosen.
    """
    name = name or sides.detail.title or listing.name
    losses = [*losses, *never_taken(sides.protocol, shots, losses)]
    sides.remarks += _scale_remarks(listing, sides, shots)
    found = arranged(
        shots,
        losses,
        shown=name,
        source=source,
        channels=sides.channels,
        default=default,
        pixel_sizes_um=sides.detail.pixel_sizes_um,
        acquisition=acquisition,
        z_steps=z_steps,
    )
    wells = {shot.well for shot in shots} | {loss.well for loss in losses}
    rows, columns = _fitting_plate_size(sides, wells)
    plate = assemble(
        listing,
        name=name,
        layout=layout,
        sightings=found.sightings,
        records=[*records, *found.records],
        channels=found.channels,
        gaps=found.gaps,
        lacking=found.lacking,
        facts=found.facts,
        rows=rows,
        columns=columns,
        evidence="side file" if source else "names",
        remarks=[*sides.remarks, *found.remarks],
    )
    return replace(plate, acquisition=found.acquisition)


def _scale_remarks(listing: Listing, sides: SideFiles, shots: Sequence[Shot]) -> list[str]:
    """Returns doubts about the pixel size of the .mrf file, by the first image of each channel."""
    sizes, widths = sides.detail.pixel_sizes_um, sides.detail.widths_px
    first: dict[int, Shot] = {}
    for shot in shots:
        if shot.file and shot.channel in sizes:
            first.setdefault(shot.channel, shot)
    for number, shot in sorted(first.items()):
        try:
            width = _width_px(listing, shot.path)
        except UnreadableImage:
            continue  # its record says so later
        if widths.get(number) and width != widths[number]:
            return [
                f"images were taken {widths[number]:,} px wide, but {shot.path} is {width:,} px wide: the "
                f"pixel size is that of the images as taken, {sizes[number]:g} µm. If they were rescaled, "
                "give --pixel-size"
            ]
    if sides.detail.oblong_um:
        return [not_square_remark(*sides.detail.oblong_um, "MeasurementDetail.mrf")]
    known = [sizes[number] for number in sorted(first)]
    if any(not math.isclose(size, known[0], rel_tol=0.01) for size in known):
        return ["channels differ in pixel size: it is unknown for fields that have several of them"]
    return []


def _width_px(listing: Listing, path: str) -> int:
    return listing.read(path, read_header).width_px


def _fitting_plate_size(sides: SideFiles, wells: Iterable[str]) -> tuple[int, int]:
    """Returns (rows, columns) of the plate; (0, 0) if they are unknown, or too few for the wells."""
    rows, columns = sides.detail.rows, sides.detail.columns
    if not rows:
        return 0, 0
    for well in sorted(wells):
        row, column = split_well(well)
        if row_index(row) >= rows or column > columns:
            sides.remarks.append(
                f"the plate's size of {rows} × {columns} wells is not used: it has no well {well}"
            )
            return 0, 0
    return rows, columns


def other_records(listing: Listing, sides: SideFiles, used: Iterable[str] = ()) -> list[FileRecord]:
    """Returns the record of each file that is no image."""
    known = frozenset(used)
    records: list[FileRecord] = []
    for file in listing.others():
        pure = PurePosixPath(file.path)
        if file.path in sides.faults:
            records.append(quarantined(file.path, sides.faults[file.path]))
        elif pure.suffix.lower() in _SUFFIXES or pure.name.lower() in _XML or file.path in known:
            records.append(ignored(file.path, "vendor-metadata"))
        else:
            records.append(no_image(file.path))
    return records
