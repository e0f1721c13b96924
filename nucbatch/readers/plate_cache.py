"""Cache of a plate's headers, valid as long as nothing below its folder has changed.

A resumed run of 10⁵ files should not read 10⁵ headers first. The listing (name, size and modification time of
each file) and the user's options are compared every time; if both are unchanged, the cached plate is used.
Not cached are inputs whose listing does not include everything that is read (a manifest, an OME-Zarr), and
plates with a file whose problem may disappear without a change of the file: missing permission, a share that
did not answer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import fields as fields_of
from operator import attrgetter
from pathlib import Path
from typing import Any

from nucbatch.core.flat_field import FlatField
from nucbatch.core.gc_pause import gc_paused
from nucbatch.core.illumination import IlluminationImage
from nucbatch.core.plate import Channel, Field, FileRecord, FileStatus, Plane, Plate
from nucbatch.readers.listing import Listing
from nucbatch.version import __version__

_MAY_PASS = ("can't be opened", "does not answer")


def _values_of(kind: type) -> Callable[[Any], tuple[Any, ...]]:
    return attrgetter(*(field.name for field in fields_of(kind)))


_OF_FIELD, _OF_PLANE, _OF_FILE = _values_of(Field), _values_of(Plane), _values_of(FileRecord)
_OF_CHANNEL = _values_of(Channel)
_PLANES, _LACKING, _METADATA, _POSITION = map(
    [field.name for field in fields_of(Field)].index, ("planes", "lacking", "metadata", "position_um")
)
_ALIASES, _FLAT_FIELD = map([field.name for field in fields_of(Channel)].index, ("aliases", "flat_field"))
_ILLUMINATION: dict[str, type[FlatField | IlluminationImage]] = {
    kind.__name__: kind for kind in (FlatField, IlluminationImage)
}
_STATUS = [field.name for field in fields_of(FileRecord)].index("status")


def fingerprint(listing: Listing, *how: object) -> str:
    """Returns the SHA-256 (hex) of the listing and the options; empty if the listing is not sufficient."""
    if listing.single or listing.stores():
        return ""
    digest = hashlib.sha256(json.dumps([__version__, listing.name, *how]).encode())
    for file in listing.files:
        digest.update(f"{file.path}\n{file.size_bytes} {file.mtime_ns}\n".encode())
    for record in listing.settled:
        digest.update(f"{record.path}\n{record.reason}\n".encode())
    return digest.hexdigest()


def load_plate(path: Path, wanted: str, root: str) -> Plate | None:
    """Reads the plate cached under this fingerprint, now at ``root``; None if there is none.

    A damaged cache, or one of another version, counts as none: the headers are then read again.
    """
    try:
        with path.open("rb") as file, gc_paused():
            first, body = file.readline().decode().split(), file.read()
            if not wanted or first != [wanted, hashlib.sha256(body).hexdigest()]:
                return None
            kept = json.loads(body)
            return Plate(
                kept["name"],
                root,
                kept["layout"],
                tuple(_channel(values) for values in kept["channels"]),
                tuple(_field(values) for values in kept["fields"]),
                tuple(_record(values) for values in kept["files"]),
                kept["is_plate"],
                wanted,
                remarks=tuple(kept["remarks"]),
                rows=kept["rows"],
                columns=kept["columns"],
                evidence=kept["evidence"],
                corrected=kept["corrected"],
                header_sizes=kept["header_sizes"],
            )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def cache_content(plate: Plate) -> bytes | None:
    """Serialises a plate for :func:`load_plate`; None for a plate that must not be cached."""
    if not plate.listed or any(_may_pass(record) for record in plate.files):
        return None
    return _content(plate, plate.listed)


def content_to_show(plate: Plate) -> bytes:
    """Serialises any plate for :func:`plate_as_read`; :func:`load_plate` does not take it."""
    return _content(plate, "-")


def plate_as_read(path: Path) -> Plate | None:
    """Reads the plate of a run as it was when its last session began; None if it is missing or damaged."""
    try:
        with path.open("rb") as file:
            wanted = file.readline().decode().split()[0]
    except (OSError, ValueError, IndexError):
        return None
    return load_plate(path, wanted, "")


def _content(plate: Plate, listed: str) -> bytes:
    kept = {
        "name": plate.name,
        "layout": plate.layout,
        "channels": [
            [
                [type(value).__name__, value.values()]
                if isinstance(value, FlatField | IlluminationImage)
                else value
                for value in _OF_CHANNEL(channel)
            ]
            for channel in plate.channels
        ],
        "fields": [
            [
                [_OF_PLANE(plane) for plane in field.planes] if index == _PLANES else value
                for index, value in enumerate(_OF_FIELD(field))
            ]
            for field in plate.fields
        ],
        "files": [_OF_FILE(record) for record in plate.files],
        "is_plate": plate.is_plate,
        "remarks": plate.remarks,
        "rows": plate.rows,
        "columns": plate.columns,
        "evidence": plate.evidence,
        "corrected": plate.corrected,
        "header_sizes": plate.header_sizes,
    }
    body = json.dumps(kept, separators=(",", ":")).encode()
    return f"{listed} {hashlib.sha256(body).hexdigest()}\n".encode() + body


def is_cached(path: Path, plate: Plate) -> bool:
    """Returns whether the file is an intact cache of this plate."""
    try:
        with path.open("rb") as file:
            first = file.readline().decode().split()
            return bool(plate.listed) and first == [
                plate.listed,
                hashlib.file_digest(file, "sha256").hexdigest(),
            ]
    except (OSError, ValueError):
        return False


def _may_pass(record: FileRecord) -> bool:
    return record.status is FileStatus.QUARANTINED and any(words in record.reason for words in _MAY_PASS)


def _channel(values: list[Any]) -> Channel:
    values[_ALIASES] = tuple(values[_ALIASES])
    if values[_FLAT_FIELD]:
        kind, attributes = values[_FLAT_FIELD]
        values[_FLAT_FIELD] = _ILLUMINATION[kind].of(attributes)
    return Channel(*values)


def _field(values: list[Any]) -> Field:
    values[_PLANES] = tuple(Plane(*plane) for plane in values[_PLANES])
    for pairs in (_LACKING, _METADATA):
        values[pairs] = tuple((name, value) for name, value in values[pairs])
    values[_POSITION] = values[_POSITION] and tuple(values[_POSITION])
    return Field(*values)


def _record(values: list[Any]) -> FileRecord:
    values[_STATUS] = FileStatus(values[_STATUS])
    return FileRecord(*values)
