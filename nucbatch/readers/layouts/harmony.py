"""Layout of Harmony and Columbus (Operetta CLS, Opera Phenix): numbered names beside an index.

- Names: ``r01c02f03p04-ch5sk1fk1fl1.tiff``, later ``-ch05t01``, also below folders of wells (``r01c02``).
- Index: ``Index.idx.xml``, ``Index.xml``, ``Index.ref.xml`` or ``*.ColumbusIDX.xml``. It gives the plate,
  names of channels, pixel size, stage positions and times. Its images are found by name anywhere below the
  measurement's folder, because it may give paths of another machine.
- Images that the index lists and that are not there are listed as gaps. Images that it does not list are
  quarantined.
- An index that is damaged, or lists none of the images, is quarantined. Names alone then give well, field,
  plane, channel and time.
- Several measurements below one input are rejected, because they have images of the same names.
- The resolution in a TIFF's header is the camera's and never used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from nucbatch.core.errors import ImageUnavailable, InputError, UnreadableImage
from nucbatch.core.escape import printable
from nucbatch.core.plate import FileRecord, Plate
from nucbatch.object_store import path_in
from nucbatch.readers.assemble import assemble
from nucbatch.readers.contract import Example, ReadOptions
from nucbatch.readers.formats.tiff_maker import measurement_of
from nucbatch.readers.layouts.harmony_index import HarmonyIndex, read_index
from nucbatch.readers.layouts.harmony_name import base_name, measurement_folder, parse, stem
from nucbatch.readers.layouts.harmony_planes import LAYOUT, by_index, by_names, missing, remarks
from nucbatch.readers.layouts.harmony_profile import read_profiles
from nucbatch.readers.layouts.one_plate import several_plates
from nucbatch.readers.listing import FoundFile, Listing
from nucbatch.readers.names import plural
from nucbatch.readers.rules import ignored, no_image, quarantined

_INDEX = tuple(
    re.compile(name, re.IGNORECASE)
    for name in (r"Index\.idx\.xml", r"Index\.xml", r"Index\.ref\.xml", r".*\.ColumbusIDX\.xml")
)
"""Names of indices, the preferred first."""
_CERTAIN = re.compile(r"Index\.(?:idx|ref)\.xml|.*\.ColumbusIDX\.xml", re.IGNORECASE)
_METADATA = re.compile(
    r"(?:.*/)?(?:(?:Assay_?layout|FFC_Profile)/[^/]+\.xml|(?:indexfile|keywords?)\.txt|[^/]+\.kw\.txt)",
    re.IGNORECASE,
)
_LOAD_DATA = re.compile(r"load_?data.*\.(?:csv|parquet)", re.IGNORECASE)
_PROFILES = re.compile(r"(?:.*/)?FFC_Profile/[^/]+\.xml", re.IGNORECASE)
_MEASUREMENT = re.compile(r"(.+?)__[0-9]{4}-[0-9]{2}-[0-9]{2}T.*Measurement.*", re.IGNORECASE)

_MINIMAL_INDEX = b"""\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?>
<EvaluationInputData Version="1" xmlns="http://www.perkinelmer.com/PEHH/HarmonyV5"><Images>
%s
</Images></EvaluationInputData>"""
_MINIMAL_IMAGE = (
    b"<Image><State>Ok</State><URL>r02c0%df01p01-ch%dsk1fk1fl1.tiff</URL><Row>2</Row><Col>%d</Col><FieldID>1"
    b"</FieldID><PlaneID>1</PlaneID><TimepointID>0</TimepointID><ChannelID>%d</ChannelID></Image>"
)


class HarmonyReader:
    """Reads plates of PerkinElmer's and Revvity's Operetta, Operetta CLS and Opera Phenix."""

    name = LAYOUT
    priority = 31
    example = Example(
        {
            "Images/Index.idx.xml": _MINIMAL_INDEX
            % b"\n".join(_MINIMAL_IMAGE % (c, ch, c, ch) for c in (1, 2, 3) for ch in (1, 2)),
            **{f"Images/r02c0{c}f01p01-ch{ch}sk1fk1fl1.tiff": None for c in (1, 2) for ch in (1, 2)},
            "Images/r02c04f01p01-ch1sk1fk1fl1.tiff": None,
            "Assaylayout/Unnamed.xml": b"<AssayLayout/>",
            "Images/stray.tif": None,
        }
    )

    def recognise(self, listing: Listing) -> bool:
        """Returns whether half of the images have Harmony's names, or one of its own indices is there."""
        if listing.single:
            return False
        images = [file.path for file in listing.images()]
        fitting = sum(parse(base_name(path)) is not None for path in images)
        certain = [file.path for file in listing.others() if _CERTAIN.fullmatch(base_name(file.path))]
        measured = [measurement_folder(path) for path in certain]
        if certain and all(any(_is_below(path, folder) for folder in measured) for path in images):
            return True
        return fitting > 0 and 2 * fitting >= len(images)

    def read(self, listing: Listing, options: ReadOptions) -> Plate:
        """Returns the single measurement below the listing's root.

        Raises:
            InputError: several measurements; or an index does not answer in time, or can't be used and the
                names don't say where the images belong.
        """
        indices = sorted(filter(_is_index, listing.others()), key=_preference)
        folder = _only_folder(listing, indices)
        notes: list[str] = []
        records: list[FileRecord] = []
        index = _first_usable(listing, indices, records, notes)
        if index:
            notes += _other_measurement(listing, index)
            _add_profiles(listing, index, notes)
        found = by_index(listing, index) if index else by_names(listing)
        gaps, lacking = missing(found, index)
        records += found.records
        settled = {record.path for record in records}
        for file in listing.others():
            if file.path not in settled:
                known = _is_index(file) or _METADATA.fullmatch(file.path)
                records.append(ignored(file.path, "vendor-metadata") if known else no_image(file.path))
        return assemble(
            listing,
            name=(index.plate if index else "") or _plate_name(listing, folder),
            layout=self.name,
            sightings=found.sightings,
            records=records,
            channels=[channel for _, channel in sorted(found.channels.items())],
            gaps=gaps,
            lacking=lacking,
            acquired=found.acquired,
            facts=found.facts,
            rows=index.rows if index else 0,
            columns=index.columns if index else 0,
            evidence="side file" if index else "names",
            remarks=[*notes, *remarks(found, index), *([] if index else _other_sources(listing))],
            header_sizes=False,
        )


def _is_index(file: FoundFile) -> bool:
    return any(regex.fullmatch(base_name(file.path)) for regex in _INDEX)


def _preference(file: FoundFile) -> tuple[int, str]:
    return next(rank for rank, regex in enumerate(_INDEX) if regex.fullmatch(base_name(file.path))), file.path


def _only_folder(listing: Listing, indices: Iterable[FoundFile]) -> str:
    """Returns the folder of the only measurement."""
    images = [file.path for file in listing.images() if parse(base_name(file.path))]
    of_images = {measurement_folder(path) for path in images}
    of_indices = {measurement_folder(file.path) for file in indices}
    folders = sorted(of_images | of_indices)
    if len(folders) < 2:
        return folders[0] if folders else ""
    # Images may lie in other folders below the only index, if each is there once.
    once = len({base_name(path).casefold() for path in images}) == len(images)
    if once and len(of_indices) == 1 and all(_is_below(folder, *of_indices) for folder in of_images):
        return of_indices.pop()
    raise several_plates(listing, folders, f"{len(folders):,} measurements of Harmony")


def _is_below(folder: str, above: str) -> bool:
    return not above or folder == above or folder.startswith(f"{above}/")


def _plate_name(listing: Listing, folder: str) -> str:
    """Returns the plate's part of the measurement folder's name, or that name."""
    above = PurePosixPath(listing.root, folder)
    if above.name.casefold() == "images":
        above = above.parent
    match = _MEASUREMENT.fullmatch(above.name)
    return match[1] if match else above.name


def _first_usable(
    listing: Listing,
    indices: list[FoundFile],
    records: list[FileRecord],
    notes: list[str],
) -> HarmonyIndex | None:
    """Reads the first index that is sound and lists one of the images, and quarantines those before it."""
    images = {stem(file.path) for file in listing.images()}
    named = sum(parse(base_name(file.path)) is not None for file in listing.images())
    for file in indices:
        try:
            index = read_index(listing, file.path)
        except ImageUnavailable as error:
            raise InputError(str(error)) from error
        except UnreadableImage as error:
            reason = str(error)
        else:
            listed = {stem(image.file) for image in index.images}
            if not images or not images.isdisjoint(listed):
                return index
            reason = f"it lists {plural(len(listed), 'image')}, and none of those that are here"
        records.append(quarantined(file.path, reason))
        notes.append(f"{printable(file.path)} is not used: {printable(reason)}.")
    if indices and not named:
        raise InputError(
            f"{printable(listing.name)} can't be read as a plate of Harmony. {' '.join(notes)} The names "
            "of its images are not Harmony's: export the measurement again, or read them with --layout or "
            "--pattern."
        )
    return None


def _other_sources(listing: Listing) -> list[str]:
    """Returns a remark if an index lies above the input, or a table of the images below it."""
    tables = [file.path for file in listing.others() if _LOAD_DATA.fullmatch(base_name(file.path))]
    if tables:
        return [
            f"{printable(tables[0])} lists images: give it instead, with --root, to have the names of "
            "channels and the pixel size."
        ]
    for above in list(path_in(listing.root).parents)[:2]:
        for name in ("Index.idx.xml", "Index.xml"):
            if (above / name).is_file():
                return [f"{name} lies above the input: give {printable(str(above))} to have it read."]
    return []


def _other_measurement(listing: Listing, index: HarmonyIndex) -> list[str]:
    """Returns a remark if the first image was made in another measurement than the index."""
    listed = {stem(image.file) for image in index.images}
    path = next((file.path for file in listing.images() if stem(file.path) in listed), "")
    if not path or not index.measurement:
        return []
    try:
        made_in = listing.read(path, measurement_of)
    except UnreadableImage:
        return []  # found again, and reported, when all headers are read
    if made_in in ("", index.measurement):
        return []
    return [
        f"{index.path} belongs to measurement {printable(index.measurement)}, but {path} to measurement "
        f"{printable(made_in)}: names of channels, pixel size and positions may be those of another plate."
    ]


def _add_profiles(listing: Listing, index: HarmonyIndex, notes: list[str]) -> None:
    """Adds the flat-field profiles of ``FFC_Profile`` to an index that has none itself."""
    files = [file.path for file in listing.others() if _PROFILES.fullmatch(file.path)]
    if len(files) != 1 or any(channel.flat_field for channel in index.channels.values()):
        return
    try:
        profiles = read_profiles(listing, files[0])
    except ImageUnavailable as error:
        raise InputError(str(error)) from error
    except UnreadableImage as error:
        notes.append(f"{files[0]} is not used: {printable(str(error))}.")
        return
    for number, text in profiles.items():
        if number in index.channels:
            index.channels[number].flat_field = text
