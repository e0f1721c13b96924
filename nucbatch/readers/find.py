"""From a path to a plate: find the files, ask the readers in order, read the headers.

Readers come from the entry points ``nucbatch.readers``, in ascending order of priority and then of name;
the first that recognises the names reads them. ``layout`` names one instead, and ``pattern`` means the
pattern reader.
"""

from __future__ import annotations

import math
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

from nucbatch.core.errors import InputError
from nucbatch.core.plate import READ_TIMEOUT_S, Plate
from nucbatch.readers.contract import Reader, ReadOptions
from nucbatch.readers.layouts.companions import without_companions
from nucbatch.readers.layouts.manifest import ManifestReader
from nucbatch.readers.links import only_links
from nucbatch.readers.listing import Listing, scan
from nucbatch.readers.names import plural
from nucbatch.readers.plate_cache import fingerprint, recall
from nucbatch.readers.resolution import at_resolution
from nucbatch.readers.verify import verified

GROUP = "nucbatch.readers"


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
) -> Plate:
    """The plate, folder of images, image, OME-Zarr or manifest at ``path``, with every file accounted for.

    ``layout``: a reader's name, instead of the first that fits. ``acquisition``: of an OME-Zarr plate that
    holds several, the one that is read. ``pattern``: a regex with named groups (see
    :mod:`nucbatch.readers.layouts.pattern`). ``pixel_size_um``: micrometres per pixel at full resolution,
    instead of what files say. ``resolution_um``: of pyramids, read the level whose pixels are nearest to this
    size. ``read_timeout_s``: how long a file may take to answer before it is quarantined for that.
    ``remembered``: where the plate may have been kept (:mod:`nucbatch.readers.plate_cache`), so that headers
    need not be read. ``root``: the folder that holds the images which a manifest names by paths of another
    machine.

    Raises:
        InputNotFound: nothing is there.
        InputError: an unknown layout, a bad pattern, several plates or acquisitions, or nothing that is
            recognised; or ``resolution_um`` is given for a pyramid without a pixel size.
    """
    readers = known_readers()
    reader = _forced(readers, layout, pattern)
    _require_size("pixel size", pixel_size_um)
    _require_size("resolution", resolution_um)
    listing = without_companions(scan(path))
    known = fingerprint(listing, layout, acquisition, pattern, pixel_size_um, resolution_um)
    kept = recall(remembered, known, listing.root) if remembered else None
    if kept is not None:
        return kept
    if reader is None:
        reader = _recognised(readers, listing)
    if root is not None and not isinstance(reader, ManifestReader):
        raise InputError("--root is for a manifest, whose images lie elsewhere: leave it out.")
    options = ReadOptions(layout, pattern, pixel_size_um, read_timeout_s, acquisition, root)
    plate = reader.read(listing, options)
    if acquisition and not plate.acquisition:
        raise InputError(
            f"--acquisition is for OME-Zarr plates with acquisitions in their metadata; {listing.name} "
            f"(layout {plate.layout}) has none: leave it out."
        )
    plate = verified(plate, pixel_size_um, read_timeout_s)
    if resolution_um is not None:
        plate = at_resolution(plate, resolution_um, read_timeout_s)
    return replace(plate, listed=known)


def known_readers() -> tuple[Reader, ...]:
    """All readers that are installed, in the order in which they are asked."""
    found: list[Reader] = [point.load()() for point in entry_points(group=GROUP)]
    return tuple(sorted(found, key=lambda reader: (reader.priority, reader.name)))


def _require_size(what: str, size_um: float | None) -> None:
    if size_um is not None and not (math.isfinite(size_um) and size_um > 0):
        raise InputError(f"a {what} of {size_um} µm can't be: give a number above 0, such as 0.65.")


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


def _recognised(readers: tuple[Reader, ...], listing: Listing) -> Reader:
    for reader in readers:
        if reader.recognise(listing):
            return reader
    if listing.single:
        raise InputError(
            f"{listing.name} is no TIFF, SVS, PNG, JPEG, OME-Zarr or manifest CSV: convert it, or give its "
            "folder."
        )
    links = only_links(listing)
    if links:
        raise InputError(links)
    total = len(listing.files) + len(listing.settled)
    raise InputError(
        f"no images below {listing.name}: {plural(total, 'file')} found, none of them TIFF, SVS, PNG, "
        "JPEG or OME-Zarr. Give the folder that holds the images."
    )
