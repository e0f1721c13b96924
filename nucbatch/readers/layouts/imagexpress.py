"""Layout of ImageXpress and MetaXpress: ``<plate>_<well>[_s<site>][_w<wavelength>][_thumb][<GUID>].tif``.

- Site and wavelength are absent if there is only one. Older versions put the GUID into brackets, after ``_``.
- Time points and z-steps are folders, ``TimePoint_N`` and ``ZStep_N``, from 1. A file outside every
  ``ZStep_N``, or (in exports) in ``ZStep_0``, is the projection. Published plates have folders that end in
  ``_z_16`` or ``_t_2``, from 0.
- If a channel of a field has a projection, its z-steps are ignored. Otherwise all z-steps are used.
- Several plates below one input are rejected, because wells of the same name would be merged.
- A well or site selected in the .HTD file but without an image stays listed, with the reason.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath

from nucbatch.core.errors import InputError, UnreadableImage
from nucbatch.core.plate import FileRecord, FileStatus, Plate
from nucbatch.core.plate_geometry import plausible_well
from nucbatch.readers.assemble import FieldKey, Sighting, assemble, unfitting
from nucbatch.readers.contract import Example, ReadOptions
from nucbatch.readers.formats.headers import read_header
from nucbatch.readers.layouts.imagexpress_htd import Htd, read_htd
from nucbatch.readers.layouts.one_plate import is_inside, several_plates
from nucbatch.readers.layouts.well_columns import counts_columns_from_zero
from nucbatch.readers.listing import FoundFile, Listing
from nucbatch.readers.rules import RULES, ignored, no_image, quarantined

_GUID = r"[0-9A-F]{8}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{12}"
_NAME = re.compile(
    r"(?:(?P<plate>.+?)_)?(?P<well>[A-Z]{1,2}[0-9]{2}|[A-P][0-9])(?:_s(?P<site>[0-9]+))?(?:_w(?P<wave>[0-9]+))?"
    rf"(?P<thumb>_thumb)?(?P<guid>_?\[{_GUID}\]|{_GUID})?\.tiff?",
    re.IGNORECASE,
)
_WELL_BEFORE = re.compile(
    r"(?:^|[_-])[A-Z]{1,2}[0-9]{1,2}[_-][sf][0-9]+$", re.IGNORECASE
)  # B02_s1_c1 is no C01
_WAVE_FOLDER = re.compile(r"(?P<rest>.*?)[ _-]?w(?P<wave>[0-9]{1,2})", re.IGNORECASE)
_STEP = re.compile(r"(?P<kind>TimePoint|ZStep)_(?P<number>[0-9]+)", re.IGNORECASE)
_STEP_AT_END = re.compile(r"(?P<rest>(?:.+[ _-])?)(?P<kind>[tz])[ _-]?(?P<number>[0-9]{1,4})", re.IGNORECASE)
_SIDE_FILES = frozenset({".htd", ".hts", ".mbt", ".scan"})


@dataclass(frozen=True, slots=True)
class ImageXpressName:
    """Parts of an ImageXpress path.

    Attributes:
        folder: folders without time points and z-steps.
        plate: text before the well.
        well: normalised well name.
        site: from 1.
        wave: wavelength number, from 1.
        time_point: as written; 1 without a folder.
        z_step: from 1; 0 for a projection or plain plane.
        thumbnail: the file is a preview.
        certain: no other layout has such names.
    """

    folder: str
    plate: str
    well: str
    site: int
    wave: int
    time_point: int
    z_step: int
    thumbnail: bool
    certain: bool


def parse(path: str) -> ImageXpressName | None:
    """Parses a relative path; None if it is not an ImageXpress image."""
    parts = path.split("/")
    match = _NAME.fullmatch(parts[-1])
    well = plausible_well(match["well"]) if match else ""
    site, wave = (int(match[part] or 1) for part in ("site", "wave")) if match else (0, 0)
    if match is None or not well or site < 1 or wave < 1 or _WELL_BEFORE.search(match["plate"] or ""):
        return None
    steps = {"timepoint": 1, "zstep": 0}
    folder = []
    stepped = False
    vendors_own = any(map(_STEP.fullmatch, parts[:-1]))
    for part in parts[:-1]:
        step = _STEP.fullmatch(part)
        at_end = None if vendors_own else _STEP_AT_END.fullmatch(part)
        if step:
            steps[step["kind"].lower()] = int(step["number"])
            stepped = True
        elif at_end:
            if at_end["kind"].lower() == "z":
                steps["zstep"] = int(at_end["number"]) + 1  # 0 is the first step, not the projection
            else:
                steps["timepoint"] = int(at_end["number"])
            folder += [at_end["rest"].rstrip(" _-")] if at_end["rest"] else []
        else:
            folder.append(part)
    certain = stepped or bool(match["wave"] or match["guid"])
    thumbnail = bool(match["thumb"])
    plate = match["plate"] or ""
    return ImageXpressName(
        "/".join(folder), plate, well, site, wave, steps["timepoint"], steps["zstep"], thumbnail, certain
    )


class ImageXpressReader:
    """Reads Molecular Devices' ImageXpress plates, as acquired or as exported by MetaXpress."""

    name = "imagexpress"
    priority = 30
    example = Example(
        {
            **{f"p_B0{c}_s{s}_w{w}.tif": None for c in (2, 3) for s in (1, 2) for w in (1, 2)},
            **{f"ZStep_{z}/p_B02_s1_w1.tif": None for z in (1, 2)},
            "p_B02_s1_w1_thumb0A72488A-1D98-432C-B4D3-AA5CB6A2972F.tif": None,
            "p.HTD": b'"WellsSelection2", FALSE, TRUE, TRUE\n',
            "p_B04_s1_w1.tif": b"",
            "stray.tif": None,
        }
    )

    def recognise(self, listing: Listing) -> bool:
        """Returns whether at least half of the images have such names, and one sign is ImageXpress' own."""
        if counts_columns_from_zero(
            match["well"]
            for file in listing.images()
            if (match := _NAME.fullmatch(file.path.rpartition("/")[2]))
        ):
            return False
        exported = any(file.path.lower().endswith(".htd") for file in listing.files)
        return listing.mostly(lambda path: (name := parse(path)) and (name.certain or exported))

    def read(self, listing: Listing, options: ReadOptions) -> Plate:
        """Returns the single plate below the listing's root.

        Raises:
            InputError: several plates, or images of several plates in one folder.
        """
        records: list[FileRecord] = []
        named: list[tuple[FoundFile, ImageXpressName]] = []
        for file in listing.images():
            name = parse(file.path)
            if name is None:
                records.append(unfitting(file, self.name))
            elif name.thumbnail:
                records.append(ignored(file.path, "thumbnail"))
            else:
                named.append((file, name))
        folder = _only_folder(listing, [name for _, name in named])
        htd = _side_files(listing, folder, records)

        waves = sorted({name.wave for _, name in named})
        channels = _channel_names(listing, waves, named, htd)
        chosen, others = _one_kind(named, z_steps=options.z_steps)
        first = min([1, *(name.time_point for _, name in named)])
        rule = "projection" if options.z_steps else "z-step"
        sightings = [
            Sighting(
                file,
                channels[name.wave],
                name.well,
                name.site,
                name.time_point - first,
                max(name.z_step - 1, 0),
            )
            for file, name in chosen
        ]
        for file, name in others:
            records.append(
                FileRecord(
                    file.path,
                    FileStatus.IGNORED,
                    f"{rule}: {RULES[rule]}",
                    well=name.well,
                    site=name.site,
                    channel=channels[name.wave],
                    z=name.z_step - 1 if name.z_step else None,
                    t=name.time_point - first,
                )
            )
        gaps, remarks = _lost(htd, {sighting.key for sighting in sightings}) if htd else ({}, [])
        return assemble(
            listing,
            name=(named[0][1].plate if named else "") or listing.name,
            layout=self.name,
            sightings=sightings,
            records=records,
            channels=[channels[wave] for wave in waves],
            gaps=gaps,
            rows=htd.rows if htd else 0,
            columns=htd.columns if htd else 0,
            evidence="side file" if htd else "names",
            remarks=remarks,
        )


def _only_folder(listing: Listing, names: list[ImageXpressName]) -> str:
    """Returns the plate's folder, without the folders of wells, sites and wavelengths."""
    waves: dict[str, set[int]] = defaultdict(set)
    for name in names:
        waves[_plate_folder(name)].add(name.wave)
    folders = sorted(waves)
    if len(folders) > 1:
        folders = sorted({_without_wave(folder, of_folder) for folder, of_folder in waves.items()})
    if len(folders) > 1:
        raise several_plates(listing, sorted(waves))
    plates = sorted({name.plate for name in names})
    if len(plates) > 1:
        raise InputError(
            f"{listing.name} mixes images of {len(plates)} plates in one folder ({', '.join(plates[:6])}). "
            "Put each plate into a folder of its own."
        )
    return folders[0] if folders else ""


def _lost(htd: Htd, found: set[FieldKey]) -> tuple[dict[FieldKey, str], list[str]]:
    """Returns the selected wells and sites without an image, and a remark if the lost sites are not known.

    The .HTD tells how many sites were selected, not their numbers. Those are known if some well has each.
    """
    wells = {well for well, _, _ in found}
    times = {t for _, _, t in found}
    reason = f"no image: {htd.path} selects the well, but it has no file"
    gaps = {(well, 1, min(times, default=0)): reason for well in htd.wells if well not in wells}
    sites = {site for _, site, _ in found}
    if len(sites) == htd.sites:
        reason = f"no image: {htd.path} selects {htd.sites} sites of each well, but this one has no file"
        expected = ((well, site, t) for well in htd.wells if well in wells for site in sites for t in times)
        gaps |= {key: reason for key in expected if key not in found}
    elif found and len(sites) < htd.sites:
        shown = ", ".join(map(str, sorted(sites)))
        return gaps, [f"{htd.path} selects {htd.sites} sites of each well, but images have only site {shown}"]
    return gaps, []


def _plate_folder(name: ImageXpressName) -> str:
    parts = name.folder.split("/")
    while parts and is_inside(parts[-1], name.well, name.site):
        parts.pop()
    return "/".join(parts)


def _without_wave(folder: str, waves: set[int]) -> str:
    """Returns the path without the wavelength if that is all that the folder holds, as in ``20585w1``."""
    above, slash, last = folder.rpartition("/")
    match = _WAVE_FOLDER.fullmatch(last)
    if match is None or waves != {int(match["wave"])}:
        return folder
    return f"{above}{slash}{match['rest']}".rstrip("/")


def _side_files(listing: Listing, folder: str, records: list[FileRecord]) -> Htd | None:
    """Records every file that is not an image, and reads the .HTD file nearest to the plate's folder."""
    below = f"{folder}/" if folder else ""
    tables = [
        file.path
        for file in listing.others()
        if file.path.lower().endswith(".htd") and file.path.startswith(below)
    ]
    nearest = min(tables, key=lambda path: (path.count("/"), path), default="")
    htd = None
    for file in listing.others():
        if file.path == nearest:
            try:
                htd = read_htd(listing, nearest)
            except OSError as error:
                records.append(quarantined(nearest, f"it can't be read ({error.strerror or error})"))
                continue
        known = PurePosixPath(file.path).suffix.lower() in _SIDE_FILES
        records.append(ignored(file.path, "vendor-metadata") if known else no_image(file.path))
    return htd


def _channel_names(
    listing: Listing,
    waves: list[int],
    named: list[tuple[FoundFile, ImageXpressName]],
    htd: Htd | None,
) -> dict[int, str]:
    """Returns each wavelength's stain from the .HTD or its first image; ``w<N>`` if not unique."""
    plain = {wave: f"w{wave}" for wave in waves}
    stains = {wave: htd.wave_names.get(wave, "") for wave in waves} if htd else {}
    if not all(stains.values()) or not stains:
        first: dict[int, str] = {}
        for file, name in named:
            first.setdefault(name.wave, file.path)
        stains = {wave: _stain(listing, path) for wave, path in first.items()}
    unique = len(set(stains.values())) == len(waves) and all(stains.values())
    return stains if unique else plain


def _stain(listing: Listing, path: str) -> str:
    """Returns MetaXpress' illumination name of an image; empty if absent or unreadable."""
    try:
        return listing.read(path, read_header).stain
    except UnreadableImage:
        return ""  # the file is read again with all others, and quarantined there with its reason


def _one_kind(
    named: list[tuple[FoundFile, ImageXpressName]], *, z_steps: bool
) -> tuple[list[tuple[FoundFile, ImageXpressName]], list[tuple[FoundFile, ImageXpressName]]]:
    """Returns (files to use, others) where a channel of a field has a projection and z-steps.

    The projection is used, or with ``z_steps`` the z-steps.
    """
    slots: dict[tuple[str, int, int, int], list[tuple[FoundFile, ImageXpressName]]] = defaultdict(list)
    for file, name in named:
        slots[name.well, name.site, name.time_point, name.wave].append((file, name))
    used: list[tuple[FoundFile, ImageXpressName]] = []
    dropped: list[tuple[FoundFile, ImageXpressName]] = []
    for members in slots.values():
        both = len({name.z_step == 0 for _, name in members}) == 2
        for member in members:
            is_step = member[1].z_step > 0
            (dropped if both and is_step != z_steps else used).append(member)
    return used, dropped
