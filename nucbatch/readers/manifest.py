"""A manifest CSV with the columns of CellProfiler's LoadData, one row per field.

``FileName_<Channel>`` with ``PathName_<Channel>``, or ``URL_<Channel>``, each also with ``Image_`` in front;
``Metadata_Plate``,
``Metadata_Well`` (or ``Metadata_Row`` and ``Metadata_Column``), ``Metadata_Site``, ``Metadata_Time`` (or
``Metadata_T``). Images must lie below the manifest's folder: a path that leads out of it is quarantined.
Files beside the manifest that no row names are not part of the input. Without a column for wells the rows
are a plain collection of images.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from nucbatch.errors import InputError
from nucbatch.plate import FileRecord, Plate
from nucbatch.readers.assemble import FieldKey, Sighting, assemble
from nucbatch.readers.contract import Example, ReadOptions
from nucbatch.readers.listing import FoundFile, Listing, look_up
from nucbatch.readers.names import natural_key, plausible_well, row_letters, safe_name, unique_names
from nucbatch.readers.rules import ignored, quarantined

_SITE = ("Metadata_Site", "Metadata_Field", "Metadata_FieldID", "Metadata_ImageNumber")
_TIME = ("Metadata_Time", "Metadata_T", "Metadata_Timepoint", "Metadata_TimePoint")
_COLUMN = ("Metadata_Column", "Metadata_Col")


@dataclass(slots=True)
class _Findings:
    """What the rows gave so far; ``lacking`` keeps every field listed, whatever became of its files."""

    sightings: list[Sighting] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    lacking: dict[FieldKey, dict[str, str]] = field(default_factory=dict)
    rows: dict[int, str] = field(default_factory=dict)

    def blame(self, key: FieldKey, channel: str, problem: str) -> None:
        of_field = self.lacking.setdefault(key, {})
        of_field[channel] = "; ".join(filter(None, (of_field.get(channel, ""), problem)))


class ManifestReader:
    """A CSV that names the images."""

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
        """The input is one file, and its name ends in .csv."""
        return listing.single and listing.files[0].path.lower().endswith(".csv")

    def read(self, listing: Listing, options: ReadOptions) -> Plate:
        """The plate or collection that the rows describe.

        Raises:
            InputError: not a CSV of such columns, a row without a usable well, or several plates.
        """
        if not listing.single:
            raise InputError(f"{listing.name} is a folder: --layout {self.name} needs the CSV file itself.")
        (file,) = listing.files
        rows = _rows(Path(listing.root, file.path))
        channels = _channels(rows, file.path)
        plates = sorted({row.get("Metadata_Plate", "").strip() for row in rows})
        if len(plates) > 1:
            raise InputError(
                f"{file.path} names {len(plates)} plates ({', '.join(plates[:6])}): write one for each."
            )
        has_wells = "Metadata_Well" in rows[0] or "Metadata_Row" in rows[0]
        findings = _Findings()
        keys = (
            _keys(rows, file.path) if has_wells else [("", number, 0) for number in range(1, len(rows) + 1)]
        )
        for key, row in zip(keys, rows, strict=True):
            _take(row, key, channels, listing, findings)
        _refuse_repeats(findings)
        records: list[FileRecord] = [ignored(file.path, "manifest")]
        records += [quarantined(path, reason) for path, reason in findings.faults.items()]
        return assemble(
            listing,
            name=plates[0] or safe_name(Path(file.path).stem),
            layout=self.name,
            sightings=findings.sightings,
            records=records,
            channels=channels,
            lacking=findings.lacking,
            labels=None if has_wells else _labels(findings.rows),
        )


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="", restkey="", strict=True)
            rows = [{_column(key): value for key, value in row.items() if key} for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path.name} is no CSV in UTF-8 ({error}): save it as one.") from error
    except OSError as error:
        raise InputError(f"{path.name} can't be read ({error.strerror}): check its permissions.") from error
    if not rows:
        raise InputError(f"{path.name} has no rows: one row per field, below a line of column names.")
    return rows


def _column(written: str) -> str:
    """The column's name; CellProfiler reads ``Image_FileName_DNA`` as ``FileName_DNA``."""
    return re.sub(r"^Image_(?=(?:FileName|PathName|URL|Frame|Series)_)", "", written.strip())


def _channels(rows: list[dict[str, str]], name: str) -> list[str]:
    found = {match[1] for column in rows[0] if (match := re.fullmatch(r"(?:FileName|URL)_(.+)", column))}
    if not found:
        raise InputError(
            f"{name} has no column FileName_<Channel> or URL_<Channel>: {', '.join(list(rows[0])[:12])}. "
            "A manifest needs the columns of CellProfiler's LoadData."
        )
    return sorted(found, key=natural_key)


def _keys(rows: list[dict[str, str]], name: str) -> list[FieldKey]:
    """The field of each row. Sites and times may be written from 0 or from 1."""
    written = [_key(row, number, name) for number, row in enumerate(rows, start=1)]
    site_shift = 1 - min(1, *(site for _, site, _ in written), 1)
    t_shift = min(1, *(t for _, _, t in written), 1)
    return [(well, site + site_shift, t - t_shift) for well, site, t in written]


def _key(row: Mapping[str, str], number: int, name: str) -> FieldKey:
    text = row.get("Metadata_Well", "").strip()
    if not text:
        column = next((row[title].strip() for title in _COLUMN if row.get(title)), "")
        text = row_letters(row.get("Metadata_Row", "").strip()) + column
    well = plausible_well(text)
    if not well:
        raise InputError(
            f"{name}, row {number}: {text!r} is no well. Wells are A01 to AF48, in Metadata_Well."
        )
    return well, _number(row, _SITE, number, name), _number(row, _TIME, number, name)


def _number(row: Mapping[str, str], titles: tuple[str, ...], number: int, name: str) -> int:
    """The first of the columns that has a value; 1 where none has."""
    for title in titles:
        text = row.get(title, "").strip()
        if text:
            if not re.fullmatch(r"[0-9]{1,9}(\.0+)?", text):
                raise InputError(
                    f"{name}, row {number}: {title} {text!r} must be a whole number from 0 or 1."
                )
            return int(float(text))
    return 1


def _take(
    row: Mapping[str, str], key: FieldKey, channels: list[str], listing: Listing, findings: _Findings
) -> None:
    well, site, t = key
    for channel in channels:
        given, relative, fault = _location(row, channel, listing.root)
        if not given:
            findings.blame(key, channel, f"its row names no file for channel {channel}")
            continue
        findings.rows.setdefault(site, relative or given)
        paged = any(row.get(f"{kind}_{channel}", "").strip() not in ("", "0") for kind in ("Frame", "Series"))
        found = fault or look_up(listing.root, relative)
        if paged:
            found = "a frame or series inside a file of many can't be read: split the file"
        if isinstance(found, FoundFile) and found.path == listing.files[0].path:
            findings.blame(key, channel, f"channel {channel}: its row names the manifest itself")
        elif isinstance(found, str):
            findings.faults[relative or given] = found
            findings.blame(key, channel, f"channel {channel}: {relative or given}: {found}")
        else:
            findings.sightings.append(Sighting(found, channel, well, site, t))
    findings.rows.setdefault(site, f"row-{site}")


def _location(row: Mapping[str, str], channel: str, root: str) -> tuple[str, str, str]:
    """(as written, relative to the root, why not). Absolute paths below the root become relative."""
    name = row.get(f"FileName_{channel}", "").strip()
    url = row.get(f"URL_{channel}", "").strip()
    if name:
        path = row.get(f"PathName_{channel}", "").strip().rstrip("/")
        given = f"{path}/{name}" if path else name
    elif url:
        parts = urlsplit(url)
        if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost"):
            return url, "", "only files are read, no addresses on a network: copy it beside the manifest"
        given = unquote(parts.path)
    else:
        return "", "", ""
    if "\0" in given:
        return given.replace("\0", "\\0"), "", "its path holds a zero byte"
    if Path(given).is_absolute() and Path(given).is_relative_to(root):
        return given, Path(given).relative_to(root).as_posix(), ""
    return given, Path(given).as_posix(), ""


def _refuse_repeats(findings: _Findings) -> None:
    """A file named twice, by rows or by channels, can't be two planes: it and both fields are at fault."""
    counts = Counter(sighting.file.path for sighting in findings.sightings)
    counts.update(path for path in findings.faults if path in counts)
    for sighting in findings.sightings:
        path = sighting.file.path
        if counts[path] > 1:
            findings.faults[path] = f"the manifest names it {counts[path]} times"
            findings.blame(sighting.key, sighting.channel, f"{path} is named {counts[path]} times")
    findings.sightings = [sighting for sighting in findings.sightings if counts[sighting.file.path] == 1]


def _labels(rows: Mapping[int, str]) -> dict[int, str]:
    """A unique name for each row, from its first file; a file named by several rows gives numbered names."""
    names = unique_names(rows.values())
    counts = Counter(rows.values())
    return {site: names[path] + (f"-row{site}" if counts[path] > 1 else "") for site, path in rows.items()}
