"""Reads the pixels of fields and images, in the files' pixel type.

- Z-steps of a channel are projected by maximum.
- A file that differs from the plan in size or type is rejected, never cast. NaN and infinity are rejected.
- White-is-zero TIFFs are inverted, so that bright is always large. Alpha is dropped.
- Where the plate asks for it, a channel is corrected by its flat field, after the projection.
- An RGB plane (its channel in the plan is ``RGB``) gives Red, Green and Blue.

Whole fields and boxes of them are read in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.coverage import Coverage
from nucbatch.core.errors import ImageUnavailable, MemoryRefused, UnreadableImage
from nucbatch.core.illumination import IlluminationImage
from nucbatch.core.plate import READ_TIMEOUT_S, RGB, RGB_CHANNELS, Channel, Field, Plane, Plate
from nucbatch.core.tiles import Box
from nucbatch.readers.formats import PlaneReader, open_plane, open_source, whole
from nucbatch.readers.formats.headers import DTYPES, read_header
from nucbatch.readers.formats.pixel_info import PixelInfo
from nucbatch.readers.illumination import apply_illumination
from nucbatch.readers.read_timeout import Beat, within
from nucbatch.readers.unchanged import opened_ahead


def probe(path: str | Path, dtypes: Sequence[str] = DTYPES) -> PixelInfo:
    """Reads an image's header without decoding it.

    Args:
        path: the image.
        dtypes: pixel types that are accepted.

    Raises:
        UnreadableImage: it cannot be used (see :mod:`nucbatch.readers.formats.headers`); path and reason.
    """
    try:
        info = read_header(path, dtypes=dtypes)
        if info.pages != 1:
            raise UnreadableImage(f"{info.pages} planes instead of one: split it into single planes")
    except UnreadableImage as error:
        raise UnreadableImage(f"{path}: {error}") from error
    return info


def field_channels(plate: Plate, field: Field) -> tuple[Channel, ...]:
    """Returns the channels of a field's array in the plate's order; RGB planes give Red, Green and Blue."""
    names = names_of(field)
    return tuple(channel for channel in plate.channels if channel.name in names)


def names_of(field: Field) -> set[str]:
    """Returns the names of a field's channels; an RGB plane has Red, Green and Blue."""
    return {name for plane in field.planes for name in _names(plane)}


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Pixels of a field.

    Attributes:
        pixels: (C, Y, X) in the field's dtype.
        coverage: coverage of each plane that was read.
    """

    pixels: NDArray[Any]
    coverage: tuple[Coverage, ...]


@dataclass(frozen=True, slots=True)
class FieldReader:
    """Reads the pixels of a plate's fields from its files.

    Attributes:
        root: root of the plate.
        read_timeout_s: timeout for a plane of a file.
        corrects: correct channels by their flat fields.
    """

    root: str | Path
    read_timeout_s: float = READ_TIMEOUT_S
    corrects: bool = False

    @classmethod
    def of(cls, plate: Plate) -> FieldReader:
        """Returns the reader of a plate's files."""
        return cls(plate.root, plate.read_timeout_s, plate.corrected)

    def read(
        self, field: Field, channels: tuple[Channel, ...], box: Box, *, counted: Box | None = None
    ) -> Reading:
        """Reads a box of a field from the tiles, strips or chunks that overlap it.

        Args:
            field: the field, as planned.
            channels: channels to read.
            box: pixels to read.
            counted: part of the box whose coverage is returned, in image coordinates; None for the whole box.

        Returns:
            One array entry per channel in the given order, z-steps projected by maximum; coverage in the
            field's order of planes.

        Raises:
            UnreadableImage: a channel or a file is missing; a file is damaged, has changed since it was
                planned, is not of the planned size and type, or does not answer. The message begins with the
                file's path.
            MemoryRefused: the box does not fit in memory.
        """
        wanted = [channel.name for channel in channels]
        missing = sorted(set(wanted) - {name for plane in field.planes for name in _names(plane)})
        if missing:
            raise UnreadableImage(
                f"{field.name}: {field.problem or 'it has no channel ' + ', '.join(missing)}"
            )
        array = _empty(field.name, (len(wanted), *box.shape), np.dtype(field.dtype or "uint8"))
        written: set[str] = set()
        coverage: list[Coverage] = []
        inner = counted or box
        files = _by_file(field, wanted)
        contexts = opened_ahead(self.root, [planes[0] for _, planes in files])
        for (path, planes), context in zip(files, contexts, strict=True):

            def look(
                beat: Beat,
                path: str = path,
                planes: list[Plane] = planes,
                context: AbstractContextManager[Path] = context,
            ) -> None:
                with (
                    context as file,
                    damage_of(*planes),
                    open_source(file, path) as source,
                ):
                    for plane in planes:
                        with damage_of(plane):
                            window = source.plane(plane.page, plane.level)
                            _require_planned(plane, window, field)
                            pixels = window.read(box)
                        _add(plane, pixels, array, wanted, written)
                        coverage.append(_covered(window, pixels[inner.within(box)], inner))
                        beat()

            within(self.read_timeout_s, path, look)
        if self.corrects:
            for channel, pixels in zip(channels, array, strict=True):
                _correct(channel, field, pixels, box)
        return Reading(array, tuple(coverage))

    def read_box(self, field: Field, channels: tuple[Channel, ...], box: Box) -> NDArray[Any]:
        """Reads the pixels (C, Y, X) of a box, as :meth:`read`."""
        return self.read(field, channels, box).pixels

    def read_whole(self, field: Field, channels: tuple[Channel, ...]) -> NDArray[Any]:
        """Reads the pixels (C, Y, X) of a whole field, as :meth:`read`."""
        return self.read_box(field, channels, _whole_field(field))

    def read_usable(
        self, field: Field, channels: tuple[Channel, ...], segmented: str
    ) -> tuple[Reading, dict[str, str]]:
        """Reads a whole field without the channels whose pixels are damaged.

        A damaged channel that is not segmented costs the field that channel's measurements, and not its
        count.

        Args:
            field: the field, as planned.
            channels: channels to read.
            segmented: name of the segmented channel.

        Returns:
            The pixels of the readable channels, and the reason for each of the others.

        Raises:
            UnreadableImage: as :meth:`read`, if the segmented channel cannot be read or is a part of RGB.
            ImageUnavailable: a file does not answer, is missing or has changed; a later attempt may succeed.
            MemoryRefused: as :meth:`read`.
        """
        lost: dict[str, str] = {}
        while True:
            usable = tuple(channel for channel in channels if channel.name not in lost)
            try:
                return self.read(field, usable, _whole_field(field)), lost
            except UnreadableImage as error:
                if not can_be_left_out(error.channels, channels, segmented):
                    raise
                lost |= dict.fromkeys(error.channels, str(error))


def read_field(plate_root: str | Path, field: Field, channels: tuple[Channel, ...]) -> NDArray[Any]:
    """Reads the pixels (C, Y, X) of a whole field, with the default timeout.

    Raises:
        UnreadableImage: as :meth:`FieldReader.read`.
    """
    return FieldReader(plate_root).read_whole(field, channels)


def can_be_left_out(damaged: Sequence[str], channels: Sequence[Channel], segmented: str) -> bool:
    """Whether a field of these channels can be counted without the damaged ones."""
    names = {channel.name for channel in channels}
    return bool(damaged) and segmented in names - set(damaged)


@contextmanager
def damage_of(*planes: Plane) -> Iterator[None]:
    """Notes in an :class:`UnreadableImage` of the context which channels are damaged, if it is damage.

    A file that is missing, has changed or does not answer is not damaged.
    """
    try:
        yield
    except ImageUnavailable:
        raise
    except UnreadableImage as error:
        names = dict.fromkeys(name for plane in planes for name in _names(plane))
        error.channels = error.channels or tuple(names)
        raise


def _whole_field(field: Field) -> Box:
    return Box(0, 0, field.height_px, field.width_px)


def _empty(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    try:
        return np.empty(shape, dtype)
    except (MemoryError, ValueError) as error:  # ValueError: beyond the address space
        gib = math.prod(shape) * dtype.itemsize / 2**30
        raise MemoryRefused(
            f"{name}: {' × '.join(map(str, shape))} pixels of {dtype} need {gib:,.1f} GiB in one piece, "
            "more than there is. Read it box by box, or run it in blocks."
        ) from error


def _correct(channel: Channel, field: Field, pixels: NDArray[Any], box: Box) -> None:
    """Corrects the pixels of a box of a field by the channel's flat field, in place."""
    if channel.flat_field is None:
        return
    if channel.flat_field.size_px != (field.width_px, field.height_px):
        wide, high = channel.flat_field.size_px
        raise UnreadableImage(
            f"{field.name}: the flat field of channel {channel.name} is of {high} × {wide} px, and the image "
            f"of {field.height_px} × {field.width_px} px"
        )
    if isinstance(channel.flat_field, IlluminationImage):
        apply_illumination(channel.flat_field, pixels, box)
    else:
        channel.flat_field.correct(pixels, box)


def _covered(window: PlaneReader, pixels: NDArray[Any], box: Box) -> Coverage:
    """Returns the coverage of a box of a plane."""
    written = pixels if not window.unwritten else pixels != window.unwritten
    return Coverage.of(written, window.shape[0], box.y0, window.cost.unwritten_values(box))


def read_image(path: str | Path, dtypes: Sequence[str] = DTYPES) -> NDArray[Any]:
    """Reads one picture outside a plate; of a pyramid the full resolution.

    Args:
        path: the picture.
        dtypes: pixel types that are accepted.

    Returns:
        (Y, X) if grey, (Y, X, 3) if RGB, in the file's dtype, without alpha.

    Raises:
        UnreadableImage: it cannot be decoded; the message has the path and the reason.
    """
    probe(path, dtypes)
    with open_plane(path) as window:
        return window.read(whole(window))


def _by_file(field: Field, wanted: list[str]) -> list[tuple[str, list[Plane]]]:
    """Groups the planes of the wanted channels by file, in the field's order."""
    files: dict[str, list[Plane]] = {}
    for plane in field.planes:
        if not set(wanted).isdisjoint(_names(plane)):
            files.setdefault(plane.path, []).append(plane)
    return list(files.items())


def _add(
    plane: Plane, pixels: NDArray[Any], array: NDArray[Any], wanted: list[str], written: set[str]
) -> None:
    """Adds a plane's pixels to the array's channels; ``written`` are channels that already hold a plane."""
    samples = np.atleast_3d(pixels)
    for sample, name in enumerate(_names(plane)):
        for index in (index for index, other in enumerate(wanted) if other == name):
            if name in written:
                np.maximum(array[index], samples[..., sample], out=array[index])
            else:
                array[index] = samples[..., sample]
        written.add(name)


def _names(plane: Plane) -> tuple[str, ...]:
    return RGB_CHANNELS if plane.channel == RGB else (plane.channel,)


def _require_planned(plane: Plane, window: PlaneReader, field: Field) -> None:
    planned = (field.height_px, field.width_px) + ((plane.samples,) if plane.samples > 1 else ())
    if window.shape != planned or window.dtype.name != field.dtype:
        raise ImageUnavailable(
            f"{plane.path}: {window.dtype.name} {window.shape}, but {field.dtype} {planned} was planned: "
            "the file has changed since"
        )
