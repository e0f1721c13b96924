"""Opens a plate: lists the files, selects a reader, reads the headers.

Readers come from the entry points ``nucbatch.readers`` and are tried in ascending order of priority, then of
name. The first that recognises the listing reads it, unless its metadata turn out to describe no such layout
(:class:`~nucbatch.readers.contract.NotThisLayout`); then the next is tried. ``layout`` selects one by name,
and ``pattern`` selects the pattern reader.
"""

from __future__ import annotations

import logging
import math
import os
import shlex
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

from nucbatch.core.errors import InputError
from nucbatch.core.escape import printable
from nucbatch.core.extensions import registered
from nucbatch.core.illumination import Method
from nucbatch.core.plate import READ_TIMEOUT_S, FileStatus, Plate
from nucbatch.readers.assemble import unfitting
from nucbatch.readers.contract import NotThisLayout, Reader, ReadOptions
from nucbatch.readers.copies import without_copies
from nucbatch.readers.flat_fields import with_flat_fields
from nucbatch.readers.foreign_images import conversion
from nucbatch.readers.illumination import folder_digest, with_illumination
from nucbatch.readers.layouts.companions import without_companions
from nucbatch.readers.layouts.manifest import ManifestReader
from nucbatch.readers.layouts.one_plate import several_plates
from nucbatch.readers.layouts.pattern import PatternReader
from nucbatch.readers.listing import LINK_OUT, LINK_TO_NOTHING, FoundFile, Listing, scan
from nucbatch.readers.names import plural
from nucbatch.readers.open_apart import FROM_FILES, open_apart
from nucbatch.readers.plate_cache import fingerprint, load_plate
from nucbatch.readers.resolution import at_resolution
from nucbatch.readers.rules import is_archive
from nucbatch.readers.verify_headers import verified

GROUP = "nucbatch.readers"

_FEWEST = 4  # images of another layout that make their folder a plate of its own

_log = logging.getLogger(__name__)


def open_plate(
    path: Path,
    *,
    layout: str = "",
    acquisition: str = "",
    pattern: str = "",
    pixel_size_um: float | None = None,
    resolution_um: float | None = None,
    read_timeout_s: float = READ_TIMEOUT_S,
    remembered: Path | None = None,
    root: Path | None = None,
    flatfield: bool = False,
    illumination: Path | None = None,
    illumination_method: Method = "divide",
    z_steps: bool = False,
    plate_name: str = "",
    apart_from: int = FROM_FILES,
) -> Plate:
    """Opens a plate, folder of images, image, OME-Zarr or manifest, with every file recorded.

    Args:
        path: the input.
        layout: name of a reader; empty for the first that recognises the input.
        acquisition: acquisition to read of a plate with several.
        pattern: regex with named groups (see :mod:`nucbatch.readers.layouts.pattern`).
        pixel_size_um: micrometres per pixel at full resolution; overrides the files' metadata.
        resolution_um: read the pyramid level whose pixels are nearest to this size.
        read_timeout_s: longest time for one read of a file, now and in the run; then it is quarantined.
        remembered: cache file of the plate (:mod:`nucbatch.readers.plate_cache`), if any.
        root: folder of the images that a manifest names by paths of another machine.
        flatfield: divide pixels by the vendor's flat-field profiles when they are read.
        illumination: folder with an image of the illumination of each channel, by which pixels are corrected.
        illumination_method: divide pixels by these images, or subtract them.
        z_steps: keep the z-steps of a channel that has a projection too, and ignore the projection.
        plate_name: plate to read of a manifest that names several.
        apart_from: number of files from which they are read in a process of its own, if none is remembered.

    Raises:
        InputNotFound: the path does not exist.
        InputError: an unknown layout, an invalid pattern, several plates or acquisitions, or an unrecognised
            input; a size or timeout that is not positive; or ``resolution_um`` is given for a pyramid without
            a pixel size.
    """
    readers = known_readers()
    reader = _forced(readers, layout, pattern)
    _require_size("pixel size", pixel_size_um)
    _require_size("resolution", resolution_um)
    if not (math.isfinite(read_timeout_s) and read_timeout_s > 0):
        raise InputError(
            f"a read timeout of {read_timeout_s} s is invalid: give a number of seconds above 0, such as 300."
        )
    if flatfield and illumination is not None:
        raise InputError("--flatfield and --illumination exclude each other: leave one out.")
    listing = replace(scan(path), read_timeout_s=read_timeout_s)
    known = fingerprint(
        listing,
        layout,
        acquisition,
        pattern,
        pixel_size_um,
        resolution_um,
        flatfield,
        z_steps,
        illumination_method,
        plate_name,
        *folder_digest(illumination),
    )
    kept = load_plate(remembered, known, listing.root) if remembered else None
    if kept is not None:
        _log.info("No file has changed since an earlier session; fields: %d", len(kept.fields))
        return replace(kept, read_timeout_s=read_timeout_s)
    if len(listing.files) >= apart_from:
        del listing
        return open_apart(
            path,
            {
                "layout": layout,
                "acquisition": acquisition,
                "pattern": pattern,
                "pixel_size_um": pixel_size_um,
                "resolution_um": resolution_um,
                "read_timeout_s": read_timeout_s,
                "root": root,
                "flatfield": flatfield,
                "illumination": illumination,
                "illumination_method": illumination_method,
                "z_steps": z_steps,
                "plate_name": plate_name,
            },
        )
    listing = without_copies(without_companions(listing))
    options = ReadOptions(layout, pattern, pixel_size_um, acquisition, root, z_steps, plate_name)
    plate = _read(reader, listing, options) if reader else _read_recognised(readers, listing, options)
    if acquisition and not plate.acquisition:
        raise InputError(
            f"--acquisition is for plates with acquisitions in their metadata; {listing.name} (layout "
            f"{plate.layout}) has none: leave it out."
        )
    started = time.perf_counter()
    plate = verified(replace(plate, read_timeout_s=read_timeout_s), pixel_size_um)
    _log.info("Headers read in %.1f s; fields: %d", time.perf_counter() - started, len(plate.fields))
    if resolution_um is not None:
        plate = at_resolution(plate, resolution_um)
    if illumination is not None:
        return replace(with_illumination(plate, illumination, illumination_method), listed=known)
    return replace(with_flat_fields(plate, flatfield), listed=known)


def known_readers() -> tuple[Reader, ...]:
    """Returns all installed readers in the order in which they are tried."""
    found: list[Reader] = [point.load()() for point in registered(GROUP)]
    return tuple(sorted(found, key=lambda reader: (reader.priority, reader.name)))


def _require_size(what: str, size_um: float | None) -> None:
    if size_um is not None and not (math.isfinite(size_um) and size_um > 0):
        raise InputError(f"a {what} of {size_um} µm is invalid: give a number above 0, such as 0.65.")


def _forced(readers: tuple[Reader, ...], layout: str, pattern: str) -> Reader | None:
    if pattern and layout not in ("", "pattern"):
        raise InputError(f"--pattern goes with --layout pattern, not with --layout {layout}: leave one out.")
    wanted = layout or ("pattern" if pattern else "")
    if not wanted:
        return None
    for reader in readers:
        if reader.name == wanted:
            return reader
    names = ", ".join(reader.name for reader in readers)
    raise InputError(f"--layout {wanted!r} is not known: use one of {names}.")


def _read(reader: Reader, listing: Listing, options: ReadOptions) -> Plate:
    if options.root is not None and not isinstance(reader, ManifestReader):
        raise InputError("--root is for a manifest, whose images lie elsewhere: leave it out.")
    if options.plate_name and not isinstance(reader, ManifestReader):
        raise InputError(
            f"--plate {options.plate_name} is for a manifest that names several plates: leave it out."
        )
    return reader.read(listing, options)


def _read_recognised(readers: tuple[Reader, ...], listing: Listing, options: ReadOptions) -> Plate:
    """Reads with the first reader that recognises the listing and does not decline it."""
    for reader in readers:
        if not reader.recognise(listing):
            _log.debug("Layout %s not recognised", reader.name)
            continue
        try:
            plate = _read(reader, listing, options)
        except NotThisLayout as error:
            _log.debug("Layout %s declined: %s", reader.name, error)
            continue
        _log.debug("Layout %s recognised in %s", reader.name, listing.name)
        _require_one_kind(readers, plate, listing)
        return plate
    if listing.single:
        advice = conversion(listing.root, (file.path for file in listing.files))
        raise InputError(
            f"{listing.name} is no TIFF, SVS, PNG, JPEG, ND2, LIF, CZI, OME-Zarr or manifest CSV: convert "
            f"it, or give its folder. {advice}".rstrip()
        )
    links = _only_links(listing)
    if links:
        raise InputError(links)
    advice = conversion(listing.root, (file.path for file in listing.files))
    packed = [file.path for file in listing.files if is_archive(file.path)]
    if packed and not advice:
        advice = f"Unpack {printable(packed[0])}" + (" and the other archives." if packed[1:] else ".")
    total = len(listing.files) + len(listing.settled)
    raise InputError(
        f"no images below {listing.name}: {plural(total, 'file')} found, none of them TIFF, SVS, PNG, "
        f"JPEG, ND2, LIF, CZI or OME-Zarr. {advice or 'Give the folder that holds the images.'}"
    )


def _require_one_kind(readers: tuple[Reader, ...], plate: Plate, listing: Listing) -> None:
    """Checks that the images which do not fit the plate's layout are not a plate of another layout.

    Images in a folder that also holds images of the plate are strays, not a plate.

    Raises:
        InputError: a folder holds such a plate; the message has the command for each folder.
    """
    reason = unfitting(FoundFile(""), plate.layout).reason
    strange = {record.path for record in plate.files if record.reason == reason}
    if len(strange) < _FEWEST:
        return
    images = listing.images()
    plates_own = {file.path.rpartition("/")[0] for file in images if file.path not in strange}
    folders: dict[str, list[FoundFile]] = {}
    for file in images:
        top = file.path.partition("/")[0] if "/" in file.path else ""
        apart = file.path in strange and file.path.rpartition("/")[0] not in plates_own
        folders.setdefault(top, []).extend([file] if apart else [])
    others = [one for one in readers if one.priority < PatternReader.priority and one.name != plate.layout]
    kinds: set[str] = set()
    for files in folders.values():
        if len(files) >= _FEWEST:
            part = replace(listing, files=tuple(files), settled=())
            kinds.update(islice((one.name for one in others if one.recognise(part)), 1))
    if not kinds:
        return
    held = f"plates of several kinds ({', '.join(sorted({plate.layout, *kinds}))})"
    if "" in folders:
        raise InputError(f"{printable(listing.name)} holds {held}. Put each plate into a folder of its own.")
    raise several_plates(listing, sorted(folders), held)


def _only_links(listing: Listing) -> str:
    """Returns the error message for an input that holds only links out of it; else an empty text."""
    refused = [record for record in listing.settled if record.status is FileStatus.QUARANTINED]
    links = [record.path for record in refused if record.reason in (LINK_OUT, LINK_TO_NOTHING)]
    if not links or len(links) < len(refused) or listing.images():
        return ""
    targets = [Path(os.path.realpath(Path(listing.root, link))) for link in links]
    there = [target if target.is_dir() else target.parent for target in targets if target.exists()]
    first = f"{printable(links[0])} to {printable(str(targets[0]))}"
    said = (
        f"{printable(listing.name)} holds no image of its own, only {len(links):,} symbolic links "
        f"that lead out of it ({first}). Links are not followed out of the input."
    )
    if not there:
        return f"{said} Their targets don't exist either: give the folder that holds the images."
    root, shared = (printable(shlex.quote(path)) for path in (listing.root, os.path.commonpath(there)))
    return (
        f"{said} Give the folder that holds the files, or a folder of copies (cp -rlL makes hard links "
        "instead, on the same disk):\n"
        f"  nucbatch inspect {shared}\n  cp -rL {root} COPY && nucbatch inspect COPY"
    )
