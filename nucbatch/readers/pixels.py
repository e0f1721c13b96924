"""From bytes to arrays, in the pixel type of the file.

Decisions owned here: z-planes of a channel are projected by maximum; what differs from the plan in size
or type is refused, never cast; NaN and infinity are refused; white-is-zero TIFFs are inverted, so that
bright is always large; alpha is dropped. An RGB plane (its channel in the plan is ``RGB``) gives Red,
Green and Blue. Whole fields and boxes of them are read in one way, by windows (``windows/``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.errors import UnreadableImage
from nucbatch.plate import Channel, Field, Plane, Plate
from nucbatch.readers.headers import read_header
from nucbatch.readers.pixel_info import PixelInfo
from nucbatch.readers.windows import Source, Window, open_source, open_window, whole
from nucbatch.tiles import Box

RGB = "RGB"
RGB_CHANNELS = ("Red", "Green", "Blue")

_MOST_KEPT_OPEN = 8  # a z-stack of single files would use up the descriptors that a process may have


def probe(path: str | Path) -> PixelInfo:
    """What an image's header promises, without decoding it.

    Raises:
        UnreadableImage: it can't be used (see :mod:`nucbatch.readers.headers`); path and reason.
    """
    try:
        info = read_header(path)
        if info.pages != 1:
            raise UnreadableImage(f"{info.pages} planes where one was meant: split it into single planes")
    except UnreadableImage as error:
        raise UnreadableImage(f"{path}: {error}") from error
    return info


def field_channels(plate: Plate, field: Field) -> tuple[Channel, ...]:
    """The channels a field's array has, in the plate's order. RGB planes count as Red, Green and Blue."""
    names: set[str] = set()
    for plane in field.planes:
        names.update(_names(plane))
    return tuple(channel for channel in plate.channels if channel.name in names)


class FieldWindow:
    """A field open for reading by boxes; made by :func:`open_field`. ``shape`` is (C, Y, X)."""

    def __init__(self, root: str | Path, field: Field, wanted: list[str], kept: Mapping[str, Source]) -> None:
        self._root, self._field, self._wanted, self._kept = root, field, wanted, kept
        self.shape = len(wanted), field.height_px, field.width_px
        self.dtype = np.dtype(field.dtype or "uint8")

    def read(self, box: Box) -> NDArray[Any]:
        """(C, Y, X) of a box, z-planes max-projected; only the tiles, strips or chunks it touches are read.

        Raises:
            UnreadableImage: a plane is missing, damaged, or not of the planned size and type.
        """
        array = np.empty((len(self._wanted), *box.shape), self.dtype)
        written: set[str] = set()
        for path, planes in _by_file(self._field, self._wanted):
            with self._source(path) as source:
                for plane in planes:
                    window = source.window(plane.page, plane.level)
                    _require_planned(plane, window, self._field)
                    self._add(plane, window.read(box), array, written)
        return array

    def _source(self, path: str) -> AbstractContextManager[Source]:
        if path in self._kept:
            return nullcontext(self._kept[path])
        return open_source(Path(self._root, path), path)

    def _add(self, plane: Plane, pixels: NDArray[Any], array: NDArray[Any], written: set[str]) -> None:
        samples = np.atleast_3d(pixels)
        for sample, name in enumerate(_names(plane)):
            for index in (index for index, other in enumerate(self._wanted) if other == name):
                if name in written:
                    np.maximum(array[index], samples[..., sample], out=array[index])
                else:
                    array[index] = samples[..., sample]
            written.add(name)


@contextmanager
def open_field(plate_root: str | Path, field: Field, channels: tuple[Channel, ...]) -> Iterator[FieldWindow]:
    """A field for reading by boxes. Its files stay open until the context ends, if they are few.

    Raises:
        UnreadableImage: a channel or a file is missing.
    """
    wanted = [channel.name for channel in channels]
    missing = sorted(set(wanted) - {name for plane in field.planes for name in _names(plane)})
    if missing:
        raise UnreadableImage(f"{field.name}: {field.problem or 'it has no channel ' + ', '.join(missing)}")
    paths = [path for path, _ in _by_file(field, wanted)]
    with ExitStack() as opened:
        kept = {
            path: opened.enter_context(open_source(Path(plate_root, path), path))
            for path in (paths if len(paths) <= _MOST_KEPT_OPEN else ())
        }
        yield FieldWindow(plate_root, field, wanted, kept)


def read_field(plate_root: str | Path, field: Field, channels: tuple[Channel, ...]) -> NDArray[Any]:
    """The pixels of a field.

    Returns: (C, Y, X) in the field's dtype, one entry per channel in the order given; z-planes max-projected.

    Raises:
        UnreadableImage: a plane is missing, damaged, or not of the planned size and type.
    """
    with open_field(plate_root, field, channels) as window:
        return window.read(Box(0, 0, field.height_px, field.width_px))


def read_image(path: str | Path) -> NDArray[Any]:
    """One picture, outside any plate; of a pyramid the full resolution.

    Returns: (Y, X) if grey, (Y, X, S) with S = 3 if RGB, in the file's dtype; alpha is dropped.

    Raises:
        UnreadableImage: it can't be decoded; the message has the path and the reason.
    """
    probe(path)
    with open_window(path) as window:
        return window.read(whole(window))


def _by_file(field: Field, wanted: list[str]) -> list[tuple[str, list[Plane]]]:
    """The planes of the wanted channels, by the file that holds them, in the field's order."""
    files: dict[str, list[Plane]] = {}
    for plane in field.planes:
        if not set(wanted).isdisjoint(_names(plane)):
            files.setdefault(plane.path, []).append(plane)
    return list(files.items())


def _names(plane: Plane) -> tuple[str, ...]:
    return RGB_CHANNELS if plane.channel == RGB else (plane.channel,)


def _require_planned(plane: Plane, window: Window, field: Field) -> None:
    planned = (field.height_px, field.width_px) + ((plane.samples,) if plane.samples > 1 else ())
    if window.shape != planned or window.dtype.name != field.dtype:
        raise UnreadableImage(
            f"{plane.path}: {window.dtype.name} {window.shape}, but {field.dtype} {planned} was planned: "
            "the file has changed since"
        )
