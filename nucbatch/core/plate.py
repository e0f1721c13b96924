"""Data model of an acquisition: Plate, Field, Channel, Plane, and the status of every file.

These are frozen values without disk access. Readers create them, all other packages only read them. A
collection without wells (a folder of images, one image) is a Plate whose fields have an empty well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, replace
from enum import StrEnum
from typing import Any

from nucbatch.core.errors import InputError
from nucbatch.core.flat_field import FlatField
from nucbatch.core.illumination import IlluminationImage
from nucbatch.core.rows import Form, Rows

RGB = "RGB"
"""Channel name of a plane that holds all three colours; the plate lists them as :data:`RGB_CHANNELS`."""
RGB_CHANNELS = ("Red", "Green", "Blue")

READ_TIMEOUT_S = 300.0
"""Default timeout in seconds for reading from a disk or network share. No result depends on it."""


class FileStatus(StrEnum):
    """Status of a file found below the input."""

    USED = "used"
    IGNORED = "ignored"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Channel:
    """Channel of a plate.

    Attributes:
        name: as users write it.
        index: position in the plate, from 0.
        aliases: other names under which users may know it, such as ``"ch1"``.
        excitation_nm: wavelength of the excitation; None if the files do not record it.
        emission_nm: wavelength of the emission; None if the files do not record it.
        color: display colour as six hexadecimal digits, RRGGBB; empty if the files do not record it.
        flat_field: illumination, from the vendor's profile or an image of the user's; None if it is unknown
            or flat.
    """

    name: str
    index: int
    aliases: tuple[str, ...] = ()
    excitation_nm: float | None = None
    emission_nm: float | None = None
    color: str = ""
    flat_field: FlatField | IlluminationImage | None = None


@dataclass(frozen=True, slots=True)
class Plane:
    """Single two-dimensional image in a file: one channel, z-step and time point of a field.

    Attributes:
        path: file, relative to the plate's root, with ``/``.
        channel: name of the channel, or :data:`RGB`.
        z: z-step, from 0.
        page: page of the file, from 0.
        samples: values per pixel: 1 for grey, 3 for RGB.
        size_bytes: size of the file when the run was planned.
        mtime_ns: modification time of the file when the run was planned.
        level: resolution level that is read of a pyramid; 0 is the full resolution.
        alone: read this one page only, whatever the file's metadata say about the roles of its pages.
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
class MaskFile:
    """Label image made elsewhere, whose objects are measured in place of those that a network finds.

    Attributes:
        name: name below the folder of all masks, with ``/``; it identifies the mask in a resumed run.
        path: as in ``files.csv``: relative to the plate's root if it lies below it, else absolute.
        size_bytes: size when the run was planned; of a folder that of all its files.
        mtime_ns: modification time when the run was planned; of a folder the latest of its files.
    """

    name: str
    path: str
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Field:
    """Field of view at one time point, segmented as one image.

    Attributes:
        well: name such as ``"B03"``; empty outside a plate.
        site: number in the well, from 1.
        t: time point, from 0.
        group: path inside the run's OME-Zarr, such as ``"B/3/1"``; unique in the plate.
        name: name for label TIFFs and messages; unique in the plate.
        planes: usable planes of all channels and z-steps.
        height_px: image height.
        width_px: image width.
        dtype: NumPy name of the pixel type.
        pixel_size_um: None if the files do not record it.
        problem: reason why the field cannot be used; empty for usable fields. Unusable fields stay listed.
        lacking: (channel, reason) for each expected channel without a usable plane.
        metadata: (column, value) from the user's own table. Copied to the run's tables, without effect on
            results.
        position_um: (y, x) of the field's centre on the stage in micrometres, y down and x to the right, as
            rows and columns of the image run; comparable within a well. None if unknown.
        acquisition: name or number of the acquisition; empty if the files record none.
        time: time of the acquisition as the vendor wrote it; empty if unknown.
        pixel_size_from: source of the pixel size: ``"--pixel-size"``, ``"side file"`` or ``"image files"``.
        mask: the label image to measure; None where a network finds the nuclei.
        stage_um: (y, x) of the field's centre as the stage counts, in micrometres, where nothing records
            which way its axes run in the image; None if unknown.
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
    position_um: tuple[float, float] | None = None
    acquisition: str = ""
    time: str = ""
    pixel_size_from: str = ""
    mask: MaskFile | None = None
    stage_um: tuple[float, float] | None = None

    @property
    def key(self) -> str:
        """Identifier of the field in the ledger; it depends on file names only, not on their order."""
        return self.group

    def without(self, channels: Mapping[str, str]) -> Field:
        """The field without the planes of these channels, which it lacks for the reasons given."""
        if not channels:
            return self
        planes = tuple(plane for plane in self.planes if plane.channel not in channels)
        return replace(self, planes=planes, lacking=(*self.lacking, *channels.items()))

    @property
    def z_steps(self) -> int:
        """Largest number of z-steps of a channel; they are projected to one plane."""
        return z_steps(plane.channel for plane in self.planes)


@dataclass(frozen=True, slots=True)
class FileRecord:
    """Row of ``files.csv``: a file found, and its status.

    Unknown values are empty or None.

    Attributes:
        path: relative to the plate's root.
        status: used, ignored or quarantined.
        reason: empty for used files; rule and explanation for ignored ones; the problem for quarantined ones.
        well: well of the file's field.
        site: site of the file's field, from 1.
        channel: name of the channel.
        z: z-step, from 0.
        t: time point, from 0.
        group: path of the field inside the run's OME-Zarr.
        absent_chunks: number of full-resolution chunks of an OME-Zarr image, or tiles of a TIFF, that were
            never written.
        chunks: number of full-resolution chunks of an OME-Zarr image, or tiles of a TIFF if some were never
            written; 0 for other files.
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


def _values_of_mask(mask: MaskFile | None) -> tuple[str | int, ...] | None:
    return None if mask is None else astuple(mask)


def _mask_of_values(values: tuple[Any, ...] | None) -> MaskFile | None:
    return None if values is None else MaskFile(*values)


FIELDS = Form(
    Field,
    parts={"planes": Form(Plane)},
    plain={"mask": (_values_of_mask, _mask_of_values)},
)
"""How fields are held by column."""

FILES = Form(FileRecord, plain={"status": (str, FileStatus)})
"""How records of files are held by column."""


def field_rows(fields: Iterable[Field]) -> Rows[Field]:
    """Holds fields by column, as they come."""
    return Rows.of(FIELDS, fields)


def file_rows(files: Iterable[FileRecord]) -> Rows[FileRecord]:
    """Holds records of files by column, as they come."""
    return Rows.of(FILES, files)


@dataclass(frozen=True, slots=True)
class Plate:
    """Plate, or plain collection of images, as described by a reader.

    Attributes:
        name: name of the plate.
        root: absolute path of the folder that all paths are relative to.
        layout: name of the reader.
        channels: in order of their index.
        fields: ordered by (well row, well column, site, t); held by column, however they are given.
        files: one record for every file found; held by column too.
        is_plate: False for collections without wells.
        listed: fingerprint of the file listing, used to recognise an unchanged plate; empty if unavailable.
        acquisition: name of the acquisition that is read, if the files record several.
        remarks: sentences for the user about how the plate was read.
        rows: rows of the plate as the vendor recorded them; 0 if unknown.
        columns: columns of the plate as the vendor recorded them; 0 if unknown.
        evidence: what the layout rests on: ``"side file"``, ``"names"``, or empty if neither applies.
        corrected: whether pixels are corrected by the channels' flat fields when they are read.
        header_sizes: whether pixel sizes in the files' headers are the sample's, and not the camera's.
        read_timeout_s: longest time for one read of its files. No result depends on it.
    """

    name: str
    root: str
    layout: str
    channels: tuple[Channel, ...]
    fields: Rows[Field]
    files: Rows[FileRecord]
    is_plate: bool = True
    listed: str = ""
    acquisition: str = ""
    remarks: tuple[str, ...] = ()
    rows: int = 0
    columns: int = 0
    evidence: str = ""
    corrected: bool = False
    header_sizes: bool = True
    read_timeout_s: float = READ_TIMEOUT_S

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", field_rows(self.fields))
        object.__setattr__(self, "files", file_rows(self.files))

    def wells(self) -> Iterator[str]:
        """Yields the plate's wells in row-major order, each once."""
        yield from dict.fromkeys(self.fields.values("well"))

    def channel(self, name: str) -> Channel:
        """Finds a channel by name or alias.

        An exact name wins over a unique match that ignores case, and names win over aliases.

        Raises:
            InputError: no such channel, or an ambiguous name.
        """
        for channel in self.channels:
            if channel.name == name:
                return channel
        wanted = name.strip().casefold()
        alike = [channel for channel in self.channels if channel.name.casefold() == wanted]
        if not alike:
            alike = [channel for channel in self.channels if wanted in map(str.casefold, channel.aliases)]
        if len(alike) == 1:
            return alike[0]
        names = ", ".join(channel.name for channel in alike or self.channels) or "none"
        raise InputError(
            f"channel {name!r} is not in {self.name}: it has {names}. Choose one with --channel."
        )


def z_steps(channels: Iterable[object]) -> int:
    """Largest number of z-steps of a channel, given the channel of each plane of a field; 1 for none."""
    return max(Counter(channels).values(), default=1)


def projection_text(z_steps: int) -> str:
    """Describes a z-projection: ``projection_text(5)`` → ``"5 z-steps, by maximum"``; empty for one step."""
    return f"{z_steps:,} z-steps, by maximum" if z_steps > 1 else ""


def absent_text(absent: int, chunks: int) -> str:
    """Describes absent chunks: ``absent_text(3, 64)`` → ``"3 of 64 chunks or tiles absent"``."""
    return f"{absent:,} of {chunks:,} chunks or tiles absent"
