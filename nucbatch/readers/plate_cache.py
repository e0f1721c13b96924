"""Cache of a plate's headers, valid as long as nothing below its folder has changed.

A resumed run of 10⁵ files should not read 10⁵ headers first. The listing (name, size and modification time of
each file) and the user's options are compared every time; if both are unchanged, the cached plate is used.
Fields and files are stored by column, as a plate holds them (:mod:`nucbatch.core.rows`), so that opening 10⁵
of them makes no objects.

Not cached are inputs whose listing does not include everything that is read (a manifest, an OME-Zarr), and
plates with a file whose problem may disappear without a change of the file: missing permission, a share that
did not answer.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
from pathlib import Path
from typing import Any, TypeVar

from nucbatch.core.flat_field import FlatField
from nucbatch.core.gc_pause import gc_paused
from nucbatch.core.illumination import IlluminationImage
from nucbatch.core.plate import FIELDS, FILES, Channel, Field, FileRecord, FileStatus, Plate
from nucbatch.core.rows import Form, Rows, as_tuple
from nucbatch.readers.listing import Listing
from nucbatch.version import __version__

_MAY_PASS = ("can't be opened", "does not answer")


_Record = TypeVar("_Record", Field, FileRecord)
_CHANNELS = Form(Channel)
_ALIASES, _FLAT_FIELD = map(_CHANNELS.names.index, ("aliases", "flat_field"))
_ILLUMINATION: dict[str, type[FlatField | IlluminationImage]] = {
    kind.__name__: kind for kind in (FlatField, IlluminationImage)
}


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
            columns = io.BytesIO(body)
            kept = json.loads(columns.readline())
            if kept.get("byte_order", sys.byteorder) != sys.byteorder:
                return None
            by_column = "byte_order" in kept
            return Plate(
                kept["name"],
                root,
                kept["layout"],
                tuple(_channel(values) for values in kept["channels"]),
                _rows(FIELDS, kept["fields"], columns if by_column else None),
                _rows(FILES, kept["files"], columns if by_column else None),
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
    if not plate.listed or _may_pass(plate):
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
    columns: list[bytes] = []
    kept = {
        "byte_order": sys.byteorder,
        "name": plate.name,
        "layout": plate.layout,
        "channels": [
            [
                [type(value).__name__, value.values()]
                if isinstance(value, FlatField | IlluminationImage)
                else value
                for value in _CHANNELS.values(channel)
            ]
            for channel in plate.channels
        ],
        "fields": plate.fields.stored(columns),
        "files": plate.files.stored(columns),
        "is_plate": plate.is_plate,
        "remarks": plate.remarks,
        "rows": plate.rows,
        "columns": plate.columns,
        "evidence": plate.evidence,
        "corrected": plate.corrected,
        "header_sizes": plate.header_sizes,
    }
    body = b"".join([json.dumps(kept, separators=(",", ":")).encode(), b"\n", *columns])
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


def _may_pass(plate: Plate) -> bool:
    return any(
        status is FileStatus.QUARANTINED and any(words in reason for words in _MAY_PASS)
        for status, reason in zip(plate.files.values("status"), plate.files.values("reason"), strict=True)
    )


def _channel(values: list[Any]) -> Channel:
    values[_ALIASES] = as_tuple(values[_ALIASES])
    if values[_FLAT_FIELD]:
        kind, attributes = values[_FLAT_FIELD]
        values[_FLAT_FIELD] = _ILLUMINATION[kind].of(attributes)
    return Channel(*values)


def _rows(form: Form[_Record], stored: list[Any], columns: io.BytesIO | None) -> Rows[_Record]:
    """Reads rows; without ``columns`` each record is a list of its values, as in caches of earlier runs."""
    if columns is not None:
        return Rows.restored(form, stored, columns.read)
    return Rows.of(form, (_record(form, values) for values in stored))


def _record(form: Form[_Record], values: list[Any]) -> _Record:
    for at, name in enumerate(form.names):
        if name in form.parts:
            values[at] = tuple(_record(form.parts[name], part) for part in values[at])
        elif name in form.plain:
            values[at] = form.plain[name][1](values[at])
        else:
            values[at] = as_tuple(values[at])
    return form.kind(*values)
