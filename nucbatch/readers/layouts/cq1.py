"""Layout of Yokogawa CQ1 and CQ3K (CQ3000): ``Image/W0001F0001T0001Z001C1.tif``.

W is the running number of the well, row by row on the plate's real columns, F the field, T the time point, Z
the z-step (000 for a projection, in ``Projection/``) and C the channel. ``MeasurementData.mlf`` (CQ3K) or
``MeasurementResult.ome.xml`` (CQ1) tells the wells. So do the numbers, if a side file gives the columns of
the plate. Names alone do not, and are rejected.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nucbatch.core.errors import ImageUnavailable, InputError, UnreadableImage
from nucbatch.core.escape import printable
from nucbatch.core.plate import FileRecord, Plate
from nucbatch.core.plate_geometry import row_letters, well_name
from nucbatch.readers.assemble import unfitting
from nucbatch.readers.contract import Example, NotThisLayout, ReadOptions
from nucbatch.readers.layouts.cq1_ome import OmeResult, read_ome_result
from nucbatch.readers.layouts.grammars import GRAMMARS
from nucbatch.readers.layouts.yokogawa.assembly import assembled, other_records
from nucbatch.readers.layouts.yokogawa.measurement_detail import Detail
from nucbatch.readers.layouts.yokogawa.measurement_records import Shot, located, sites_given
from nucbatch.readers.layouts.yokogawa.side_files import (
    SideFiles,
    plate_folder,
    read_side_files,
    require_one_folder,
    shots_of_records,
)
from nucbatch.readers.listing import FoundFile, Listing
from nucbatch.readers.rules import ignored, quarantined
from nucbatch.readers.untried import untried

_NAME = re.compile(
    r"(?:.*[_-])?W(?P<number>[0-9]{1,4})F(?P<site>[0-9]{3,4})T(?P<time_point>[0-9]{4})Z(?P<z_step>[0-9]{2,3})"
    r"C(?P<channel>[0-9]{1,2})\.(?:tiff?|png)",
    re.IGNORECASE,
)
_IMAGE_FOLDERS = frozenset({"image", "images", "projection"})
_RESULTS = {
    "measurementresult.ome.xml": "",
    "measurementresultmip.ome.xml": "Maximum",
    "measurementresultsum.ome.xml": "Sum",
}
_CONTAINER = re.compile(r"measurementresult[^/]*\.ome\.tiff?", re.IGNORECASE)
_SETTINGS = frozenset({"measurementresult.xml", "measurementprotocol.xml", "imagingresult.xml"})


def parse(path: str) -> tuple[int, Shot] | None:
    """Parses a relative path: (number of the well, image without a well); None for other names."""
    match = _NAME.fullmatch(path, path.rfind("/") + 1)
    if match is None:
        return None
    number, site, time_point, z_step, channel = (int(text) for text in match.groups())
    if not (number and site and time_point and channel):
        return None
    projection = "" if z_step else "unknown"
    return number, Shot(path, "", site, time_point, z_step, channel, projection=projection)


@dataclass(slots=True)
class _Source:
    """Images of the plate, and the side file that lists them; empty if only names do."""

    shots: list[Shot]
    path: str = ""
    columns: int = 0
    used: list[str] = field(default_factory=list)


class Cq1Reader:
    """Reads plates of Yokogawa's CQ1 and CQ3K microscopes, by a side file that tells the wells."""

    name = "cq1"
    priority = 31
    example = Example(
        {
            **{f"Image/W00{w}F0001T0001Z001C{c}.tif": None for w in ("01", "02") for c in (1, 2)},
            "MeasurementDetail.mrf": b'<MeasurementDetail RowCount="8" ColumnCount="12"/>',
            "MeasurementResult.ome.tif": None,
            "Image/W0001F0001T0001Z001C3.tif": b"II*\0",
            "stray.tif": None,
        }
    )

    def recognise(self, listing: Listing) -> bool:
        """Returns whether at least half of the images have such names."""
        images = [file for file in listing.images() if not _CONTAINER.fullmatch(_basename(file.path))]
        fitting = sum(1 for file in images if parse(file.path))
        return not listing.single and fitting > 0 and 2 * fitting >= len(images)

    def read(self, listing: Listing, options: ReadOptions) -> Plate:
        """Returns the single plate below the listing's root.

        Raises:
            InputError: several plates, or no side file that tells the wells.
            NotThisLayout: only ``MeasurementResult.ome.tif`` may tell the wells.
        """
        by_path = {file.path: file for file in listing.images()}
        parsed = {path: found for path in by_path if (found := parse(path))}
        folder = plate_folder(listing, ((path, _plate_folder(path)) for path in parsed), _RESULTS)
        sides = read_side_files(listing, folder)
        sides.remarks.append(untried("Names and side files of CQ1 and CQ3K"))

        records: list[FileRecord] = []
        images: list[FoundFile] = []
        for path, file in by_path.items():
            if _CONTAINER.fullmatch(_basename(path)):
                records.append(ignored(path, "vendor-metadata"))
            else:
                images.append(file)
        records_say = shots_of_records(sides, images, lambda path: _welled(parsed.get(path), sides.detail))
        source = _Source(records_say, sides.records_path)
        if sides.records is None:
            source = self._without_records(listing, options, sides, parsed, images, records)
        losses = sites_given(sides.records.losses, source.shots) if sides.records else []
        used = {shot.path for shot in source.shots if shot.file} | {record.path for record in records}
        for file in images:
            if file.path not in used:
                listed = source.path and file.path in parsed
                reason = f"{_basename(source.path)} does not list this image"
                records.append(quarantined(file.path, reason) if listed else unfitting(file, self.name))
        records += other_records(listing, sides, source.used)
        return assembled(
            listing,
            sides,
            source.shots,
            losses,
            records,
            layout=self.name,
            name="",
            source=_basename(source.path),
            default="CH{}",
            acquisition=options.acquisition,
            z_steps=options.z_steps,
        )

    def _without_records(
        self,
        listing: Listing,
        options: ReadOptions,
        sides: SideFiles,
        parsed: Mapping[str, tuple[int, Shot]],
        images: list[FoundFile],
        records: list[FileRecord],
    ) -> _Source:
        """Returns the images by ``MeasurementResult.ome.xml``, or by the numbers of the wells."""
        results = _results(listing, sides)
        metadata = _settings(listing, sides.folder, results)
        if results:
            shots: list[Shot] = []
            for result in results.values():
                shots += located(result.shots, images, sides.folder)
            if any(shot.file for shot in shots):
                _take(sides, list(results.values()))
                return _Source(_as_named(shots, parsed), next(iter(results)), used=metadata)
            sides.faults.update(dict.fromkeys(results, "none of the images that it lists is here"))
        require_one_folder(listing, {_plate_folder(path) for path in parsed})
        if not sides.detail.columns:
            raise _wells_unknown(listing, sides)
        by_path = {file.path: file for file in images}
        numbered: list[Shot] = []
        for path, found in parsed.items():
            shot = _welled(found, sides.detail)
            if shot and shot.well:
                numbered.append(replace(shot, file=by_path[path]))
            else:
                size = f"{sides.detail.rows} × {sides.detail.columns} wells"
                records.append(quarantined(path, f"well number {found[0]} is not on a plate of {size}"))
        return _Source(numbered, used=metadata)


def _welled(found: tuple[int, Shot] | None, detail: Detail) -> Shot | None:
    """Returns the image that a name describes, with its well if the plate is known and has it."""
    if found is None:
        return None
    number, shot = found
    row, column = divmod(number - 1, detail.columns or 1)
    return replace(shot, well=well_name(row_letters(row), column + 1)) if row < detail.rows else shot


def _basename(path: str) -> str:
    return path.rpartition("/")[2]


def _plate_folder(path: str) -> str:
    parts = path.split("/")[:-1]
    if parts and parts[-1].lower() in _IMAGE_FOLDERS:
        parts.pop()
    return "/".join(parts)


def _results(listing: Listing, sides: SideFiles) -> dict[str, OmeResult]:
    """Reads the OME-XML files in the plate's folder; damaged ones are quarantined."""
    found: dict[str, OmeResult] = {}
    for file in listing.others():
        kind = _RESULTS.get(_basename(file.path).lower())
        if kind is None or file.path.rpartition("/")[0] != sides.folder:
            continue
        try:
            found[file.path] = read_ome_result(listing, file.path, kind)
        except ImageUnavailable:
            raise
        except UnreadableImage as error:
            sides.faults[file.path] = str(error)
            sides.remarks.append(f"{_basename(file.path)} is not used: {error}")
    return found


def _settings(listing: Listing, folder: str, results: Mapping[str, OmeResult]) -> list[str]:
    """Lists the instrument's XML files that are no images."""
    return [
        file.path
        for file in listing.others()
        if file.path in results
        or (file.path.rpartition("/")[0] == folder and _basename(file.path).lower() in _SETTINGS)
    ]


def _take(sides: SideFiles, results: list[OmeResult]) -> None:
    """Adds to the side files what OME-XML files give and they lack."""
    channels = {
        number: channel for result in reversed(results) for number, channel in result.channels.items()
    }
    sides.channels = {**channels, **sides.channels}
    rows, columns = next(((one.rows, one.columns) for one in results if one.rows and one.columns), (0, 0))
    sizes = dict(sides.detail.pixel_sizes_um)
    for result in results:
        for shot in result.shots:
            if result.pixel_size_um:
                sizes.setdefault(shot.channel, result.pixel_size_um)
    if not sides.detail.rows:
        sides.detail = replace(sides.detail, rows=rows, columns=columns)
    sides.detail = replace(sides.detail, pixel_sizes_um=sizes)
    sides.remarks += dict.fromkeys(remark for result in results for remark in result.remarks)


def _as_named(shots: list[Shot], parsed: Mapping[str, tuple[int, Shot]]) -> list[Shot]:
    """Returns the images with the field's number of their names, which runs through all grids of a well."""
    return [replace(shot, site=parsed[shot.path][1].site) if shot.path in parsed else shot for shot in shots]


def _wells_unknown(listing: Listing, sides: SideFiles) -> InputError:
    (pattern,) = (grammar.pattern for grammar in GRAMMARS if grammar.maker == "Yokogawa CQ1")
    root = printable(shlex.quote(listing.root))
    commands = "\n".join(
        f"  nucbatch inspect {root} --pattern "
        + shlex.quote(f"(?i){pattern.replace('well_of_96', f'well_of_{wells}')}")
        for wells in (96, 384)
    )
    faults = "".join(f" {path}: {reason}." for path, reason in sides.faults.items())
    faults += "".join(f" {remark}." for remark in sides.remarks if not sides.faults)
    # Older measurements keep their OME-XML in a TIFF, which another layout reads.
    described = any(_CONTAINER.fullmatch(_basename(file.path)) for file in listing.images())
    return (NotThisLayout if described else InputError)(
        f"{printable(listing.name)} has names of Yokogawa's CQ1, which give each well as a running number. "
        "The columns of the plate are unknown: there is no MeasurementData.mlf, MeasurementDetail.mrf or "
        f"MeasurementResult.ome.xml that can be used.{printable(faults)} Copy these files beside the folder "
        f"of the images, or say how many wells the plate has:\n{commands}"
    )
