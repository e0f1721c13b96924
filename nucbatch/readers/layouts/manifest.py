"""Layout of a manifest CSV with the columns of CellProfiler's LoadData, one row per field or plane.

Columns (each file column may also start with ``Image_``):

- ``FileName_<Channel>`` with ``PathName_<Channel>``, or ``URL_<Channel>``
- ``Frame_<Channel>``: the page, from 0
- ``Metadata_Plate``, ``Metadata_Well`` (or ``Metadata_Row`` and ``Metadata_Column``), ``Metadata_Site``,
  ``Metadata_Time`` (or ``Metadata_T``)
- ``Metadata_PlaneID`` (or ``Metadata_Z``): rows that differ in it only are z-steps of one field
- ``Metadata_PositionX``, ``Metadata_PositionY`` and ``Metadata_ImageResolutionX`` of tables that were made
  from Harmony's index (:mod:`nucbatch.readers.layouts.manifest_facts`)
- all other ``Metadata_`` columns are copied to the tables; those of positions too

Illumination corrections (``FileName_Illum...``, or only .npy or .mat files) are not channels and are not
applied. Images must lie below the manifest's folder, or below the folder given with ``--root``; a path that
leads out of it is quarantined. Files that no row names are not part of the input. Without a well column the
rows are a plain collection of images.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from nucbatch.core.errors import ImageUnavailable, InputError
from nucbatch.core.plate import FileRecord, Plate
from nucbatch.core.plate_geometry import parse_row, plausible_well
from nucbatch.object_store import ObjectPath, path_in
from nucbatch.readers.assemble import FieldKey, Sighting, assemble
from nucbatch.readers.contract import Example, ReadOptions
from nucbatch.readers.layouts.manifest_facts import field_facts
from nucbatch.readers.layouts.manifest_paths import Locator
from nucbatch.readers.layouts.manifest_table import Row, Value, metadata_columns, read_rows
from nucbatch.readers.listing import FoundFile, Listing
from nucbatch.readers.names import natural_key, safe_name, unique_names
from nucbatch.readers.rules import ignored, quarantined

_SITE = ("Metadata_Site", "Metadata_Field", "Metadata_FieldID", "Metadata_ImageNumber")
_TIME = ("Metadata_Time", "Metadata_T", "Metadata_Timepoint", "Metadata_TimePoint", "Metadata_TimepointID")
_PLANE = ("Metadata_PlaneID", "Metadata_Plane", "Metadata_Z", "Metadata_ZPlane", "Metadata_Slice")
_COLUMN = ("Metadata_Column", "Metadata_Col")
_CORRECTION = (".npy", ".npz", ".mat")


@dataclass(slots=True)
class _Findings:
    """Results of the rows so far; ``lacking`` keeps every field listed, whatever happens to its files."""

    sightings: list[Sighting] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    lacking: dict[FieldKey, dict[str, str]] = field(default_factory=dict)
    rows: dict[int, str] = field(default_factory=dict)

    def blame(self, key: FieldKey, channel: str, problem: str) -> None:
        of_field = self.lacking.setdefault(key, {})
        of_field[channel] = "; ".join(filter(None, (of_field.get(channel, ""), problem)))


class ManifestReader:
    """Reads a CSV that names the images."""

    name = "manifest"
    priority = 10
    example = Example(
        {
            "load.csv": b"FileName_D,Metadata_Well\na.tif,A01\nb.tif,A02\ngone.tif,A03\n../x.tif,A04\n",
            "a.tif": None,
            "b.tif": b"",
        },
        given="load.csv",
    )

    def recognise(self, listing: Listing) -> bool:
        """Returns whether the input is one file with the suffix .csv, .tsv or .parquet."""
        return listing.single and listing.files[0].path.lower().endswith((".csv", ".tsv", ".parquet"))

    def read(self, listing: Listing, options: ReadOptions) -> Plate:
        """Returns the plate or collection described by the rows.

        Raises:
            InputError: not a CSV with such columns, a row without a usable well, or several plates.
        """
        if not listing.single:
            raise InputError(f"{listing.name} is a folder: --layout {self.name} needs the CSV file itself.")
        (file,) = listing.files
        manifest = path_in(listing.root, file.path)
        try:
            rows = listing.read(file.path, read_rows)
        except ImageUnavailable as error:
            raise InputError(str(error)) from error
        channels, corrections = _channels(rows, file.path)
        plates = sorted({row.get("Metadata_Plate") for row in rows})
        if options.plate_name:
            rows = _of_plate(rows, plates, options.plate_name, file.path)
            plates = [options.plate_name]
        elif len(plates) > 1:
            raise InputError(
                f"{file.path} names {len(plates)} plates ({', '.join(plates[:6])}): run all of them with "
                "nucbatch screen, or one with --plate NAME."
            )
        locator = Locator(_root(options.root) if options.root else listing.root, bool(options.root))
        has_wells = not {"Metadata_Well", "Metadata_Row"}.isdisjoint(rows[0].values)
        findings = _Findings()
        keys: list[FieldKey]
        if has_wells:
            keys, steps = _keys(rows, file.path), _z_steps(rows, file.path)
        else:
            keys, steps = [("", number, 0) for number in range(1, len(rows) + 1)], [0] * len(rows)
        for key, z, row in zip(keys, steps, rows, strict=True):
            _take(row, key, z, channels, locator, manifest, findings)
        _refuse_repeats(findings)
        records: list[FileRecord] = [ignored(_shown(manifest, locator.root), "manifest")]
        records += _of_corrections(rows, corrections, locator)
        records += [quarantined(path, reason) for path, reason in findings.faults.items()]
        metadata = metadata_columns(rows)
        facts, remarks = field_facts(keys, metadata) if has_wells else ({}, ())
        return assemble(
            replace(listing, root=locator.root),
            name=plates[0] or safe_name(Path(file.path).stem),
            layout=self.name,
            sightings=findings.sightings,
            records=records,
            channels=channels,
            lacking=findings.lacking,
            labels=None if has_wells else _labels(findings.rows),
            metadata=_metadata(keys, metadata),
            facts=facts,
            evidence="side file",
            remarks=remarks,
        )


def _of_plate(rows: list[Row], plates: list[str], name: str, manifest: str) -> list[Row]:
    if name not in plates:
        raise InputError(
            f"{manifest} names no plate {name!r}: it names {', '.join(plates[:6])}"
            f"{' and more' if len(plates) > 6 else ''}."
        )
    return [row for row in rows if row.get("Metadata_Plate") == name]


def _root(given: Path) -> str:
    if isinstance(given, ObjectPath):
        return str(given)
    if not given.is_dir():
        raise InputError(f"--root {given} is no folder: name the one that holds the manifest's images.")
    return str(given.resolve())


def _shown(manifest: Path, root: str) -> str:
    if isinstance(manifest, ObjectPath):
        return manifest.name
    return manifest.relative_to(root).as_posix() if manifest.is_relative_to(root) else manifest.name


def _channels(rows: Sequence[Row], name: str) -> tuple[list[str], list[str]]:
    """Returns the channels, and the columns of illumination corrections."""
    found = {
        match[1] for column in rows[0].values if (match := re.fullmatch(r"(?:FileName|URL)_(.+)", column))
    }
    corrections = {one for one in found if _is_correction(one, rows)}
    if not found - corrections:
        columns = ", ".join(list(rows[0].values)[:12])
        raise InputError(
            f"{name} has no column FileName_<Channel> or URL_<Channel>: {columns}. "
            "A manifest needs the columns of CellProfiler's LoadData."
        )
    return sorted(found - corrections, key=natural_key), sorted(corrections, key=natural_key)


def _is_correction(channel: str, rows: Sequence[Row]) -> bool:
    if channel.casefold().startswith("illum"):
        return True
    names = [row.get(f"FileName_{channel}", f"URL_{channel}").casefold() for row in rows]
    return any(names) and all(name.endswith(_CORRECTION) for name in names if name)


def _of_corrections(rows: Sequence[Row], corrections: list[str], locator: Locator) -> list[FileRecord]:
    """Returns the records of the existing illumination corrections."""
    paths: dict[str, None] = {}
    for channel in corrections:
        for row in rows:
            _, found = locator.find(row, channel)
            if isinstance(found, FoundFile):
                paths[found.path] = None
    return [ignored(path, "illumination-correction") for path in paths]


def _metadata(
    keys: Sequence[FieldKey], columns: Mapping[str, list[Value]]
) -> dict[FieldKey, dict[str, Value]]:
    """Returns the value of every metadata column for each field; empty if its rows (its z-steps) differ."""
    places: dict[FieldKey, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        places[key].append(place)
    return {
        key: {name: _constant([values[place] for place in own]) for name, values in columns.items()}
        for key, own in places.items()
    }


def _constant(values: Sequence[Value]) -> Value:
    if all(value == values[0] for value in values):
        return values[0]
    return "" if isinstance(values[0], str) else None


def _keys(rows: Sequence[Row], name: str) -> list[FieldKey]:
    """Returns the field of each row. Sites and times may be written from 0 or from 1."""
    written = [_key(row, name) for row in rows]
    site_shift = 1 - min(1, *(site for _, site, _ in written), 1)
    t_shift = min(1, *(t for _, _, t in written), 1)
    return [(well, site + site_shift, t - t_shift) for well, site, t in written]


def _key(row: Row, name: str) -> FieldKey:
    text = row.get("Metadata_Well") or parse_row(row.get("Metadata_Row")) + row.get(*_COLUMN)
    if match := re.fullmatch(r"r([0-9]{1,2})c([0-9]{1,2})", text, re.IGNORECASE):  # Harmony's notation
        text = parse_row(match[1]) + match[2]
    well = plausible_well(text)
    if not well:
        raise InputError(
            f"{name}, row {row.number}: {text!r} is no well. Wells are A01 to AF48, in Metadata_Well."
        )
    return well, _number(row, _SITE, name), _number(row, _TIME, name)


def _z_steps(rows: Sequence[Row], name: str) -> list[int]:
    """Returns the z-step of each row, from 0."""
    written = [_number(row, _PLANE, name) for row in rows]
    return [z - min(written) for z in written]


def _number(row: Row, titles: tuple[str, ...], name: str) -> int:
    """Returns the first value of these columns; 1 if all are empty."""
    text = row.get(*titles)
    if not text:
        return 1
    if not re.fullmatch(r"[0-9]{1,9}(\.0+)?", text):
        title = next(title for title in titles if row.get(title))
        raise InputError(f"{name}, row {row.number}: {title} {text!r} must be a whole number from 0 or 1.")
    return int(float(text))


def _take(
    row: Row,
    key: FieldKey,
    z: int,
    channels: Iterable[str],
    locator: Locator,
    manifest: Path,
    findings: _Findings,
) -> None:
    well, site, t = key
    for channel in channels:
        given, found = locator.find(row, channel)
        if not given:
            findings.blame(key, channel, f"its row names no file for channel {channel}")
            continue
        findings.rows.setdefault(site, found.path if isinstance(found, FoundFile) else given)
        frame = row.get(f"Frame_{channel}")
        if frame and not re.fullmatch(r"[0-9]{1,7}(\.0+)?", frame):
            found = f"its frame {frame!r} must be a whole number from 0"
        elif row.get(f"Series_{channel}") not in ("", "0"):
            found = "a series inside a file of many can't be read: split the file"
        if isinstance(found, FoundFile) and Path(locator.root, found.path) == manifest:
            findings.blame(key, channel, f"channel {channel}: its row names the manifest itself")
        elif isinstance(found, str):
            findings.faults[given] = found
            findings.blame(key, channel, f"channel {channel}: {given}: {found}")
        else:
            page = int(float(frame)) if frame else None
            findings.sightings.append(Sighting(found, channel, well, site, t, z, page))
    findings.rows.setdefault(site, f"row-{site}")


def _refuse_repeats(findings: _Findings) -> None:
    """Rejects files named twice, by rows or by channels: the file and both fields are at fault.

    A file may be named several times if each row names another frame of it.
    """
    counts = Counter(sighting.file.path for sighting in findings.sightings)
    counts.update(path for path in findings.faults if path in counts)
    frames: dict[str, set[int | None]] = defaultdict(set)
    for sighting in findings.sightings:
        frames[sighting.file.path].add(sighting.page)
    repeated = {
        path
        for path, count in counts.items()
        if count > 1 and (None in frames[path] or len(frames[path]) < count)
    }
    for sighting in findings.sightings:
        path = sighting.file.path
        if path in repeated:
            findings.faults[path] = f"the manifest names it {counts[path]} times"
            findings.blame(sighting.key, sighting.channel, f"{path} is named {counts[path]} times")
    findings.sightings = [one for one in findings.sightings if one.file.path not in repeated]


def _labels(rows: Mapping[int, str]) -> dict[int, str]:
    """Returns a unique name for each row, from its first file; rows that share a file get numbered names."""
    names = unique_names(rows.values())
    counts = Counter(rows.values())
    return {site: names[path] + (f"-row{site}" if counts[path] > 1 else "") for site, path in rows.items()}
