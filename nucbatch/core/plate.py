"""The vocabulary of what was acquired: Plate, Field, Channel, Plane, and the fate of every file.

Frozen values without behaviour that touches disk. Readers make them, everything else only reads them.
A collection that is no plate (a folder of images, one image) is a Plate whose fields have an empty well.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from nucbatch.core.errors import InputError

_WELL = re.compile(r"^([A-Za-z]{1,2})0*([1-9][0-9]?)$")

RGB = "RGB"
"""The channel of a plane that holds all three colours; the plate lists them as :data:`RGB_CHANNELS`."""
RGB_CHANNELS = ("Red", "Green", "Blue")

READ_TIMEOUT_S = 300.0
"""How long a read waits for a disk or network share before it is given up. No result depends on it."""


class FileStatus(StrEnum):
    """What became of a file that was found below the input."""

    USED = "used"
    IGNORED = "ignored"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Channel:
    """One colour of a plate: its name as users write it, and its order in the plate (0, 1, ...)."""

    name: str
    index: int


@dataclass(frozen=True, slots=True)
class Plane:
    """One two-dimensional picture in one file: a channel, z step and time point of a field.

    ``path`` is relative to the plate's root, with ``/``. ``page`` counts the file's pages from 0.
    ``samples`` is 1 for grey and 3 for RGB. ``size_bytes`` and ``mtime_ns`` are the file's when planned.
    ``level`` is the resolution that is read of a pyramid, 0 the full one. ``alone``: of a file of several
    pages just this one is meant, whatever the file says that they are.
    """

    path: str
    channel: str
    z: int = 0
    page: int = 0
    samples: int = 1
    size_bytes: int = 0
    mtime_ns: int = 0
    level: int = 0
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """One field of view at one time point: what is segmented as one image.

    ``well`` is as ``"B03"`` (empty where there is no plate), ``site`` counts from 1, ``t`` from 0.
    ``group`` is its place inside the run's OME-Zarr, such as ``"B/3/1"``; unique within the plate.
    ``name`` is what label TIFFs and messages call it; unique within the plate.
    ``dtype`` is NumPy's name of the pixel type. ``pixel_size_um`` is None where the files don't tell.
    A field whose planes can't be used stays listed: ``problem`` then holds the reason and is not empty.
    ``lacking`` are the channels without a usable plane that the field should have, each with the reason;
    ``planes`` holds none of theirs. ``metadata`` is what the user's own table says of the field, by column:
    it goes into a run's tables and decides nothing.
    """

    well: str
    site: int
    t: int
    group: str
    name: str
    planes: tuple[Plane, ...]
    height_px: int
    width_px: int
    dtype: str
    pixel_size_um: float | None = None
    problem: str = ""
    lacking: tuple[tuple[str, str], ...] = ()
    metadata: tuple[tuple[str, str | float | None], ...] = ()

    @property
    def key(self) -> str:
        """The field's stable name in the ledger: the same for the same file names, whatever the order."""
        return self.group

    def without(self, channels: Mapping[str, str]) -> Field:
        """The field without the planes of these channels, which it lacks for the reasons given."""
        if not channels:
            return self
        planes = tuple(plane for plane in self.planes if plane.channel not in channels)
        return replace(self, planes=planes, lacking=(*self.lacking, *channels.items()))

    @property
    def z_steps(self) -> int:
        """How many z-steps its deepest channel has; they are projected to one plane."""
        return max(Counter(plane.channel for plane in self.planes).values(), default=1)


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One row of ``files.csv``: a file found, and what became of it.

    ``reason`` is empty for used files, a rule's name and sentence for ignored ones, and the problem for
    quarantined ones. ``well``, ``site``, ``channel``, ``z``, ``t``, ``group`` are empty/None if unknown.
    ``chunks``: how many an OME-Zarr image has at full resolution, and ``absent_chunks`` how many of them are
    not stored; 0 for other files.
    """

    path: str
    status: FileStatus
    reason: str = ""
    well: str = ""
    site: int | None = None
    channel: str = ""
    z: int | None = None
    t: int | None = None
    group: str = ""
    absent_chunks: int = 0
    chunks: int = 0


@dataclass(frozen=True, slots=True)
class Plate:
    """A plate (or a plain collection of images) as a reader found it.

    ``root`` is the absolute folder that all paths are relative to; ``layout`` the reader's name;
    ``fields`` are ordered by (well row, well column, site, t); ``files`` accounts for every file found.
    ``is_plate`` is False for collections without wells. ``listed`` tells the listing that it was read from,
    to know it again; empty where that can't be told. ``acquisition``: the one that is read, where files tell.
    ``remarks``: sentences for the user about how it was read.
    """

    name: str
    root: str
    layout: str
    channels: tuple[Channel, ...]
    fields: tuple[Field, ...]
    files: tuple[FileRecord, ...]
    is_plate: bool = True
    listed: str = ""
    acquisition: str = ""
    remarks: tuple[str, ...] = ()

    def wells(self) -> Iterator[str]:
        """The plate's wells in row-major order, each once."""
        yield from dict.fromkeys(field.well for field in self.fields)

    def channel(self, name: str) -> Channel:
        """The channel of that name, or else the only one whose name is the same but for its case.

        Raises:
            InputError: the plate has no such channel, or several.
        """
        for channel in self.channels:
            if channel.name == name:
                return channel
        alike = [channel for channel in self.channels if channel.name.casefold() == name.strip().casefold()]
        if len(alike) == 1:
            return alike[0]
        names = ", ".join(channel.name for channel in alike or self.channels) or "none"
        raise InputError(f"channel {name!r} is not in {self.name}: it has {names}. Name one with --channel.")


def projection_text(z_steps: int) -> str:
    """How z-steps become one plane: ``projection_text(5)`` → ``"5 z-steps, by maximum"``; empty for one."""
    return f"{z_steps:,} z-steps, by maximum" if z_steps > 1 else ""


def absent_text(absent: int, chunks: int) -> str:
    """How many chunks are not stored: ``absent_text(3, 64)`` → ``"3 of 64 chunks absent"``."""
    return f"{absent:,} of {chunks:,} {'chunk' if chunks == 1 else 'chunks'} absent"


def split_well(well: str) -> tuple[str, int]:
    """Row letters and column number of a well's name: ``"b03"`` → ``("B", 3)``, ``"AF48"`` → ``("AF", 48)``.

    Raises:
        InputError: the text is not one or two letters followed by 1 to 99.
    """
    match = _WELL.match(well.strip())
    if match is None:
        raise InputError(
            f"{well!r} is no well name: one or two letters and a number from 1 to 99, as in B03."
        )
    return match[1].upper(), int(match[2])


def well_name(row: str, column: int) -> str:
    """The one spelling of a well used in every table: ``("b", 3)`` → ``"B03"``."""
    return f"{row.upper()}{column:02d}"


def row_index(row: str) -> int:
    """Number of a row from 0: A is 0, Z is 25, AA is 26, AF is 31 (1536-well plates)."""
    index = 0
    for letter in row.upper():
        index = index * 26 + ord(letter) - ord("A") + 1
    return index - 1
