"""Writes a synthetic ImageXpress plate with a dose series along the columns.

It has an empty well and a truncated file. The truth lies outside the plate's folder, so that no reader finds
it. Names, GUIDs and pixels follow from the seed. A field depends on its well, its site and its column's step
in the dose series, but not on which other fields are made.
"""

from __future__ import annotations

import csv
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr  # nosec B406  # it writes, and parses nothing

import numpy as np
import tifffile
from numpy.typing import NDArray

from nucbatch.core.errors import InputError
from nucbatch.core.plate_geometry import plate_size, row_index, split_well, well_name
from nucbatch.synthetic.field import make_field

WELLS = tuple(well_name(row, column) for row in "BCDE" for column in range(2, 8))
EMPTY_WELL = "E07"
PIXEL_SIZE_UM = 0.454
_MOST_NUCLEI, _FEWEST_NUCLEI = 78.0, 9.0  # per 512 x 512 px, without and with the highest dose
_THUMBNAIL_SHRINK = 4


@dataclass(frozen=True, slots=True)
class TruthRow:
    """The truth of one field: stem of its label TIFF, well, site and number of nuclei.

    ``readable``: whether none of its files is truncated.
    """

    name: str
    well: str
    site: int
    count: int
    readable: bool


@dataclass(frozen=True, slots=True)
class Truth:
    """The truth of a plate.

    ``folder`` holds truth.csv and, per readable field, labels in ``<name>.tif`` (uint16).
    """

    plate_folder: Path
    folder: Path
    plate: str
    rows: tuple[TruthRow, ...]

    @property
    def truncated(self) -> tuple[str, ...]:
        """Names of the fields with a truncated file, which have a count but no label TIFF."""
        return tuple(row.name for row in self.rows if not row.readable)

    def counts(self) -> dict[str, int]:
        """Number of nuclei per well, over all its fields."""
        counts: dict[str, int] = {}
        for row in self.rows:
            counts[row.well] = counts.get(row.well, 0) + row.count
        return counts


def make_plate(
    folder: Path,
    *,
    name: str = "Synthetic",
    wells: Sequence[str] = WELLS,
    sites: int = 2,
    channels: Sequence[str] = ("DAPI", "FITC"),
    size_px: int = 512,
    seed: int = 0,
    empty_well: str | None = EMPTY_WELL,
    truncated: bool = True,
    thumbnails: bool = True,
    truth_folder: Path | None = None,
) -> Truth:
    """Writes a plate into ``folder`` and its truth into ``truth_folder``, by default ``truth/`` beside it.

    Files are named ``<name>_B02_s1_w1<GUID>.tif`` (uint16), thumbnails ``..._w1_thumb<GUID>.tif``, and
    ``<name>.HTD`` names the channels. ``empty_well`` gets fields without nuclei, if the plate has that well.
    ``truncated``: whether the first channel's file of the last site in one well is cut short.

    Raises:
        InputError: a well, name or number can't be used, or the folder already holds files.
    """
    places = [split_well(well) for well in wells]
    wells = [well_name(row, column) for row, column in places]
    empty = well_name(*split_well(empty_well)) if empty_well is not None else None
    truth_folder = folder.parent / "truth" if truth_folder is None else truth_folder
    _check(folder, truth_folder, name, wells, sites, channels, seed)
    folder.mkdir(parents=True, exist_ok=True)
    truth_folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.HTD").write_text(_index(wells, sites, channels), encoding="utf-8")

    columns = sorted({column for _, column in places})
    crowded = [well for well in wells if well != empty] or wells
    cut = (crowded[len(crowded) // 3], sites) if truncated else None
    rows: list[TruthRow] = []
    for (row, column), well in zip(places, wells, strict=True):
        expected = 0.0 if well == empty else _dose_response(columns.index(column), len(columns))
        for site in range(1, sites + 1):
            rng = np.random.default_rng([seed, row_index(row), column, site])
            nuclei = int(rng.poisson(expected * (size_px / 512) ** 2))
            images, labels = make_field(size_px, rng, nuclei=nuclei, channels=len(channels))
            stem = f"{name}_{well}_s{site}"
            _write_field(folder, stem, images, channels, rng, thumbnails=thumbnails, cut=(well, site) == cut)
            rows.append(TruthRow(stem, well, site, int(labels.max()), (well, site) != cut))
            if rows[-1].readable:
                _write_tiff(truth_folder / f"{stem}.tif", labels)
    truth = Truth(folder, truth_folder, name, tuple(rows))
    _write_rows(truth)
    return truth


def _check(
    folder: Path,
    truth_folder: Path,
    name: str,
    wells: Sequence[str],
    sites: int,
    channels: Sequence[str],
    seed: int,
) -> None:
    if not wells or len(set(wells)) != len(wells):
        raise InputError(f"wells {', '.join(wells) or '(none)'}: name at least one, and each once.")
    if sites < 1 or seed < 0 or not channels:
        raise InputError(
            f"{sites} sites, seed {seed}, {len(channels)} channels: sites and channels from 1, seed from 0."
        )
    if not name or not all(letter.isalnum() or letter in " -" for letter in name):
        raise InputError(f"{name!r} can't be a synthetic plate's name: use letters, digits, spaces and '-'.")
    if truth_folder.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{truth_folder} lies inside the plate {folder}: put the truth somewhere else.")
    for target in (folder, truth_folder):
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise InputError(
                f"{target} already exists and is not an empty folder: name a new or an empty one."
            )


def _dose_response(step: int, steps: int) -> float:
    """Expected nuclei on 512 x 512 px: a sigmoid (Hill) decrease from the first column to the last."""
    dose = step / max(1, steps - 1)
    return _FEWEST_NUCLEI + (_MOST_NUCLEI - _FEWEST_NUCLEI) / (1.0 + (dose / 0.55) ** 4)


def _write_field(
    folder: Path,
    stem: str,
    images: NDArray[np.uint16],
    channels: Sequence[str],
    rng: np.random.Generator,
    *,
    thumbnails: bool,
    cut: bool,
) -> None:
    """Writes one file per channel of ``images`` (C, Y, X), and thumbnails if requested."""
    for number, (image, channel) in enumerate(zip(images, channels, strict=True), start=1):
        path = folder / f"{stem}_w{number}{_guid(rng)}.tif"
        _write_tiff(path, image, _description(stem, channel))
        thumbnail = folder / f"{stem}_w{number}_thumb{_guid(rng)}.tif"
        if thumbnails:
            _write_tiff(thumbnail, image[::_THUMBNAIL_SHRINK, ::_THUMBNAIL_SHRINK])
        if cut and number == 1:
            whole = path.read_bytes()
            path.write_bytes(whole[: len(whole) * 6 // 10])


def _write_tiff(path: Path, image: NDArray[np.uint16], description: str = "") -> None:
    # Without these arguments tifffile adds a timestamp and its version, and the bytes would vary.
    tifffile.imwrite(
        path, image, description=description or None, metadata=None, software=False, datetime=False
    )


def _write_rows(truth: Truth) -> None:
    with (truth.folder / "truth.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", "plate", "well", "site", "count", "readable"])
        for row in truth.rows:
            writer.writerow([row.name, truth.plate, row.well, row.site, row.count, row.readable])


def _guid(rng: np.random.Generator) -> str:
    return str(uuid.UUID(bytes=rng.bytes(16), version=4)).upper()


def _description(stem: str, channel: str) -> str:
    """The MetaSeries properties of MetaXpress files that readers look for."""
    properties = (
        ("spatial-calibration-state", "bool", "on"),
        ("spatial-calibration-x", "float", str(PIXEL_SIZE_UM)),
        ("spatial-calibration-y", "float", str(PIXEL_SIZE_UM)),
        ("spatial-calibration-units", "string", "um"),
        ("image-name", "string", channel),
        ("stage-label", "string", stem),
    )
    lines = "".join(
        f'<prop id="{key}" type="{kind}" value={quoteattr(value)}/>\r\n' for key, kind, value in properties
    )
    return f"<MetaData>\r\n<PlaneInfo>\r\n{lines}</PlaneInfo>\r\n</MetaData>"


def _index(wells: Sequence[str], sites: int, channels: Sequence[str]) -> str:
    """The text of an ImageXpress .HTD file: plate geometry, wells and sites, channel names."""
    places = [split_well(well) for well in wells]
    taken = {(row_index(row), column) for row, column in places}
    height, width = plate_size(taken, least_wells=96)
    flags = [
        ", ".join("TRUE" if (row, column) in taken else "FALSE" for column in range(1, width + 1))
        for row in range(height)
    ]
    lines = [
        '"HTSInfoFile", Version 1.0',
        '"Description", "synthetic"',
        '"TimePoints", 1',
        '"ZSeries", FALSE',
    ]
    lines += [f'"XWells", {width}', f'"YWells", {height}']
    lines += [f'"WellsSelection{number}", {row}' for number, row in enumerate(flags, start=1)]
    lines += ['"Sites", TRUE', f'"XSites", {sites}', '"YSites", 1']
    lines += [
        f'"SiteSelection1", {", ".join(["TRUE"] * sites)}',
        '"Waves", TRUE',
        f'"NWavelengths", {len(channels)}',
    ]
    lines += [f'"WaveName{number}", "{channel}"' for number, channel in enumerate(channels, start=1)]
    lines += [f'"WaveCollect{number}", 1' for number in range(1, len(channels) + 1)]
    return "\r\n".join([*lines, '"EndFile"', ""])
