"""What came of one field: its receipt, as it stands in the ledger and in the field's table fragment.

A line ends with its own checksum, so that damage is told from what was written. The fragment holds the same
receipt, but for what the fragment can't know (its own checksum, times, the worker), and a digest of what the
run was made of: a ledger that is damaged or gone can be made again from the fragments.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from operator import attrgetter
from typing import Any, Literal

import google_crc32c
from pydantic import TypeAdapter, ValidationError

from nucbatch.core.plate import Field, Plane
from nucbatch.core.settings import RunSettings
from nucbatch.store.stamps import TABLE, Stamp, Stamps
from nucbatch.version import __version__

# astuple says the same in ten times the time, and a resumed run asks for every field at once
_OF_FIELD = attrgetter(*(one.name for one in fields(Field) if one.name not in ("planes", "metadata")))
_OF_PLANE = attrgetter(*(one.name for one in fields(Plane)))

_MOST_NAMES = 64

_END = b',"crc":"%08x"}\n'
_END_BYTES = len(_END % 0)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What came of one field: all that a worker sends back, below a kilobyte and a half.

    ``field`` is the field's key. ``reason`` says why a field failed and is empty for a done one.
    ``labels_sha256`` is :func:`nucbatch.store.digest.labels_digest` of the full-resolution labels (hex).
    ``names`` and ``stamps`` are those of :class:`nucbatch.store.stamps.Stamps`: every file that the field
    left; of an image of many files the table fragment alone, which has the others'. ``committed_ns`` is when
    the table fragment was written, the last of them. ``seconds`` per step and ``worker`` are for the record,
    never for a result. ``lacking`` are the channels that are not segmented and whose pixels could not be
    read, each with the reason. ``source`` is :func:`field_digest` of the field as it was planned.
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", sys.intern(self.names))  # fields of one size share theirs

    @property
    def files(self) -> Stamps:
        """The files that it names."""
        return Stamps(self.names, self.stamps)

    def with_table(self, table: Stamp, committed_ns: int) -> Receipt:
        """The receipt for the ledger: its files are those of this one and the table fragment.

        The fragment alone where they are many: it holds the list of the others.
        """
        few = self.names.count(" ") < _MOST_NAMES
        files = self.files.and_one(TABLE, table) if few else Stamps.of({TABLE: table})
        return replace(self, names=files.names, stamps=files.packed, committed_ns=committed_ns)


_RECEIPT = TypeAdapter(Receipt)


def line_of(values: dict[str, Any]) -> bytes:
    """A line of the ledger: JSON, with a checksum of all before it as its last value."""
    body: bytes = json.dumps(values, separators=(",", ":"))[:-1].encode()
    return body + _END % int(google_crc32c.value(body))


def sound(line: bytes) -> bytes | None:
    """The JSON of a line, without the checksum; None if the line is damaged or cut short."""
    body = line[:-_END_BYTES]
    return body + b"}" if body and line[-_END_BYTES:] == _END % google_crc32c.value(body) else None


def receipt_of(line: bytes) -> Receipt | None:
    """The receipt in a line of the ledger; None if it is damaged."""
    values = sound(line)
    try:
        return None if values is None else _RECEIPT.validate_json(values)
    except ValidationError:
        return None


def note_of(receipt: Receipt, made_of: str) -> bytes:
    """A receipt as it is kept in the field's table fragment, the same whenever and wherever it was made."""
    kept = asdict(receipt) | {"seconds": {}, "worker": "", "committed_ns": 0}
    return line_of({"made_of": made_of, "receipt": kept})


def receipt_in(note: bytes, made_of: str) -> Receipt | None:
    """The receipt in a note; None if it is damaged, or of a run that was made of something else."""
    values = sound(note)
    if values is None:
        return None
    held = json.loads(values)
    if held.get("made_of") != made_of:
        return None
    try:
        return _RECEIPT.validate_python(held.get("receipt"))
    except ValidationError:
        return None


def made_of(settings: RunSettings, plate_name: str, is_plate: bool, channels: Sequence[str]) -> str:
    """128 bits (hex) of what decides a field's results besides its own files."""
    values = [__version__, settings.digest(), plate_name, is_plate, list(channels)]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:32]


def field_digest(field: Field) -> str:
    """128 bits (hex) of all that decides a field's results, each file's size and time too."""
    values = _OF_FIELD(field), [_OF_PLANE(plane) for plane in field.planes]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:32]
