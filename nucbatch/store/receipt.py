"""Receipt of a field: its result as stored in the ledger and in the field's table fragment.

A ledger line ends with its own checksum, so that damage is detected. The fragment holds the same receipt,
except what it cannot know (its own checksum, times, the worker), and a digest of the run's inputs. A damaged
or missing ledger can therefore be rebuilt from the fragments.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import Any, Literal

import google_crc32c
from pydantic import TypeAdapter, ValidationError

from nucbatch.core.plate import Field, Plane
from nucbatch.core.settings import RunSettings
from nucbatch.store.stamps import TABLE, Stamp, Stamps
from nucbatch.version import __version__

# astuple gives the same values but takes ten times as long, and a resumed run needs them for every field.
_OTHERWISE = frozenset({"planes", "metadata", "mask", "stage_um"})
"""Attributes of a field that are hashed in another way, or on which no file of its own depends."""
_OF_FIELD = attrgetter(*(one.name for one in fields(Field) if one.name not in _OTHERWISE))
_OF_PLANE = attrgetter(*(one.name for one in fields(Plane)))

_MOST_NAMES = 64

_END = b',"crc":"%08x"}\n'
_END_BYTES = len(_END % 0)


@dataclass(frozen=True, slots=True)
class Receipt:
    """Result of one field as sent by a worker, less than 1.5 kB.

    Attributes:
        field: the field's key.
        status: done or failed.
        reason: why the field failed; empty if it is done.
        nuclei: number of nuclei.
        labels_sha256: :func:`nucbatch.store.digest.labels_digest` of the full-resolution labels (hex).
        qc: quality measures by column name.
        seconds: time per step, for information only.
        worker: name of the worker, for information only.
        source: :func:`field_digest` of the field as planned.
        names: names of the field's files, see :class:`nucbatch.store.stamps.Stamps`. An image of many files
            names only its table fragment, which holds the list of the others.
        stamps: stamps of these files.
        committed_ns: modification time of the table fragment, the last file written.
        maps_bytes: size of the probabilities that were kept of the field; for information only.
        lacking: (channel, reason) for channels that are not segmented and could not be read.
    """

    field: str
    status: Literal["done", "failed"]
    reason: str
    nuclei: int
    labels_sha256: str
    qc: dict[str, float]
    seconds: dict[str, float]
    worker: str
    source: str = ""
    names: str = ""
    stamps: str = ""
    committed_ns: int = 0
    lacking: tuple[tuple[str, str], ...] = ()
    maps_bytes: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", sys.intern(self.names))  # fields of one size share their names

    @property
    def files(self) -> Stamps:
        """Stamps of the files named by the receipt."""
        return Stamps(self.names, self.stamps)

    def with_table(self, table: Stamp, committed_ns: int) -> Receipt:
        """Returns the receipt for the ledger, with the table fragment added to its files.

        If the files are many, the receipt names the fragment only, which holds the list of the others.
        """
        few = self.names.count(" ") < _MOST_NAMES
        files = self.files.and_one(TABLE, table) if few else Stamps.of({TABLE: table})
        return replace(self, names=files.names, stamps=files.packed, committed_ns=committed_ns)


_RECEIPT = TypeAdapter(Receipt)
_OF_RECEIPT = tuple(one.name for one in fields(Receipt))


def line_of(values: dict[str, Any]) -> bytes:
    """Formats a ledger line: JSON whose last value is a checksum of everything before it."""
    body: bytes = json.dumps(values, separators=(",", ":"))[:-1].encode()
    return body + _END % int(google_crc32c.value(body))


def checked_json(line: bytes) -> bytes | None:
    """Returns the JSON of a line without its checksum; None if the line is damaged or truncated."""
    body = line[:-_END_BYTES]
    return body + b"}" if body and line[-_END_BYTES:] == _END % google_crc32c.value(body) else None


def receipt_of(line: bytes) -> Receipt | None:
    """Parses the receipt in a ledger line; None if it is damaged."""
    values = checked_json(line)
    try:
        return None if values is None else _RECEIPT.validate_json(values)
    except ValidationError:
        return None


def fragment_note(receipt: Receipt, inputs_digest: str) -> bytes:
    """Formats a receipt for the field's table fragment, without what is for information only."""
    kept = {name: getattr(receipt, name) for name in _OF_RECEIPT}
    kept |= {"seconds": {}, "worker": "", "committed_ns": 0, "maps_bytes": 0}
    return line_of({"made_of": inputs_digest, "receipt": kept})


def receipt_from_note(note: bytes, inputs_digest: str) -> Receipt | None:
    """Parses the receipt in a fragment's note; None if it is damaged or was made from other inputs."""
    values = checked_json(note)
    if values is None:
        return None
    held = json.loads(values)
    if held.get("made_of") != inputs_digest:
        return None
    try:
        return _RECEIPT.validate_python(held.get("receipt"))
    except ValidationError:
        return None


def inputs_digest(settings: RunSettings, plate_name: str, is_plate: bool, channels: Sequence[str]) -> str:
    """Returns 128 bits (hex) that identify all inputs of a field's results besides its own files."""
    values = [__version__, settings.digest(), plate_name, is_plate, list(channels)]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:32]


def field_digest(field: Field) -> str:
    """Returns 128 bits (hex) that identify a field's definition and the sizes and times of its files."""
    values: list[object] = [_OF_FIELD(field), [_OF_PLANE(plane) for plane in field.planes]]
    if field.mask is not None:
        values.append([field.mask.name, field.mask.size_bytes, field.mask.mtime_ns])
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:32]
