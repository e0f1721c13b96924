"""Base of the formats whose files hold several images, and which a library reads.

A format lists the images of a file (:class:`~nucbatch.readers.formats.contract.Series`) and reads boxes of
their planes. Headers of planes and the interface of open files are derived from that here.

Libraries are optional. They are imported when a file is opened, and an error that names the command which
installs one is raised if it is missing. What a library raises on damaged bytes becomes an
:class:`~nucbatch.core.errors.UnreadableImage`.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import InputError, UnreadableImage
from nucbatch.core.tiles import Box
from nucbatch.object_store import ObjectPath
from nucbatch.readers.formats.contract import MissingLibrary, Series
from nucbatch.readers.formats.idle_files import Key, give_back, take
from nucbatch.readers.formats.levels import Level, pyramid_levels
from nucbatch.readers.formats.pixel_info import MOST_PROJECTED, PixelInfo
from nucbatch.readers.formats.plane_reader import (
    Cost,
    naming_file,
    require_finite,
    require_inside,
    require_listed,
)
from nucbatch.readers.formats.stack import Stack, channel_names
from nucbatch.readers.names import plural

_MOST_SERIES = 100_000


class OpenPlanes(ABC):
    """Planes of an open file, addressed by series, time point, channel and z-step."""

    @abstractmethod
    def read(self, series: int, t: int, c: int, z: int, box: Box) -> NDArray[Any]:
        """Reads a box of a plane, (Y, X) or (Y, X, 3); no more is decoded than its pieces."""

    @abstractmethod
    def piece_bytes(self, series: int) -> int:
        """Returns the memory of the largest piece that must be decoded as a whole."""

    @abstractmethod
    def rest(self) -> None:
        """Drops decoded pixels, before the file is kept open for the next reader."""

    @abstractmethod
    def close(self) -> None:
        """Closes the file."""


class Container(ABC):
    """Format of files that hold several images; see :class:`.contract.ContainerFormat`.

    Attributes:
        name: of the entry point.
        title: of its files, in messages.
        suffixes: endings of its files.
        containers: those whose files are read as containers.
        module: name of the library's module.
        extra: name of the extra of nucbatch that installs it.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    containers: tuple[str, ...]
    module: str
    extra: str

    @abstractmethod
    def recognises(self, start: bytes) -> bool:
        """Returns whether a file with these first bytes has this format."""

    @abstractmethod
    def list_series(self, library: ModuleType, path: Path) -> list[Series]:
        """Lists the images of a file, after checking that it is complete; ``first_page`` is filled in later.

        Raises:
            UnreadableImage: the file cannot be used; the message is the bare reason.
        """

    @abstractmethod
    def open_planes(self, library: ModuleType, path: Path) -> OpenPlanes:
        """Opens a file whose images :meth:`list_series` has listed."""

    def series(self, path: Path) -> Sequence[Series]:
        """See :class:`~nucbatch.readers.formats.contract.ContainerFormat`."""
        if isinstance(path, ObjectPath):
            raise UnreadableImage(f"{self.title} can't be read in an object store: copy it to a disk first")
        info = path.stat()
        return _listed(self, str(path), info.st_size, info.st_mtime_ns)

    def header(self, file: BinaryIO, path: Path, page: int | None = None) -> PixelInfo:
        """See :class:`~nucbatch.readers.formats.contract.FileFormat`."""
        found = self.series(path)
        if page is not None:
            return _plane_info(found, page)
        if len(found) > 1:
            raise UnreadableImage(
                f"it holds {plural(len(found), 'image')}: give the file alone, or a folder of such files"
            )
        one = found[0]
        if one.problem:
            raise UnreadableImage(one.problem)
        # As in TIFF: the names of single channels often differ within a folder and mean the same.
        named = [channel.name for channel in one.channels] if len(one.channels) > 1 else []
        names = channel_names(len(one.channels), named)
        stack = Stack(one.times, names, one.depth, tuple(range(one.planes)))
        return _info(one, stack)

    def page_headers(self, file: BinaryIO, path: Path, pages: Sequence[int]) -> list[PixelInfo | str]:
        """See :class:`~nucbatch.readers.formats.contract.FileFormat`."""
        listed = self.series(path)
        found: list[PixelInfo | str] = []
        for page in pages:
            try:
                found.append(_plane_info(listed, page))
            except UnreadableImage as error:
                found.append(str(error))
        return found

    def open(self, path: Path, shown: str) -> ContainerSource:
        """See :class:`~nucbatch.readers.formats.contract.FileFormat`."""
        with naming_file(shown), reported(self.module):
            found = self.series(path)
            info = path.stat()
            key = self.name, str(path), info.st_size, info.st_mtime_ns
            planes = take(key, lambda: self.open_planes(self.imported(), path))
            return ContainerSource(shown, self.module, found, key, planes)

    def imported(self) -> ModuleType:
        """Imports the library.

        Raises:
            MissingLibrary: it is not installed.
        """
        try:
            return import_module(self.module)
        except ModuleNotFoundError as error:
            raise MissingLibrary(
                f"{self.title} are read with an optional library, which is not installed "
                f"({self.module}): python -m pip install 'nucbatch[{self.extra}]'"
            ) from error


@lru_cache(maxsize=8)
def _listed(kind: Container, path: str, size_bytes: int, mtime_ns: int) -> tuple[Series, ...]:
    """Lists the images of a file; cached, because each field of a file asks for them."""
    library = kind.imported()
    with reported(kind.module):
        found = kind.list_series(library, Path(path))
    if not 0 < len(found) <= _MOST_SERIES:
        raise UnreadableImage(f"it holds {plural(len(found), 'image')}")
    return tuple(found)


class ContainerSource:
    """Open container; see :class:`~nucbatch.readers.formats.plane_reader.ImageSource`."""

    def __init__(
        self, shown: str, module: str, series: Sequence[Series], key: Key, planes: OpenPlanes
    ) -> None:
        self.shown, self.module, self.planes = shown, module, planes
        self._series, self._key = series, key
        self.failed = False
        self.lock = threading.Lock()

    def plane(self, page: int = 0, level: int = 0) -> ContainerPlane:
        """See :class:`~nucbatch.readers.formats.plane_reader.ImageSource`."""
        number = self._number(page)
        require_listed(self.shown, "level", level, 1)
        return ContainerPlane(self, number, self._series[number], page)

    def levels(self, page: int = 0) -> tuple[Level, ...]:
        """See :class:`~nucbatch.readers.formats.plane_reader.ImageSource`."""
        one = self._series[self._number(page)]
        return pyramid_levels([(one.height_px, one.width_px)], one.pixel_size_um)

    def close(self) -> None:
        """Leaves the file to the next reader, or closes it after a failed read."""
        if self.failed:
            self.planes.close()
        else:
            give_back(self._key, self.planes)

    def _number(self, page: int) -> int:
        last = self._series[-1]
        require_listed(self.shown, "page", page, last.first_page + last.planes)
        return _series_of(self._series, page)


class ContainerPlane:
    """See :class:`~nucbatch.readers.formats.plane_reader.PlaneReader`; threads take turns."""

    def __init__(self, source: ContainerSource, number: int, series: Series, page: int) -> None:
        self._source, self._number = source, number
        self._place = series.place(page)
        self.shape: tuple[int, ...] = series.height_px, series.width_px, *_colours(series)
        self.dtype = np.dtype(series.dtype)
        self.piece_bytes = source.planes.piece_bytes(number)
        self.cost = Cost()
        self.unwritten = 0

    def read(self, box: Box) -> NDArray[Any]:
        """See :class:`~nucbatch.readers.formats.plane_reader.PlaneReader`."""
        source = self._source
        require_inside(source.shown, self.shape, box)
        with naming_file(source.shown), reported(source.module), source.lock:
            source.failed, failed = True, source.failed
            pixels = source.planes.read(self._number, *self._place, box)
            source.failed = failed
            wanted = (*box.shape, *self.shape[2:])
            if pixels.shape != wanted or pixels.dtype != self.dtype:
                raise UnreadableImage(
                    f"decoded to {pixels.dtype.name} {pixels.shape}, but {self.dtype.name} {wanted} was "
                    "announced"
                )
            self.cost.pieces += 1
            self.cost.stored_bytes += pixels.nbytes
            return require_finite(np.ascontiguousarray(pixels, self.dtype))


@contextmanager
def reported(module: str) -> Iterator[None]:
    """Converts what a library raises on damaged bytes into an UnreadableImage."""
    try:
        yield
    except (InputError, OSError, MemoryError):  # among them UnreadableImage
        raise
    except Exception as error:  # a library may raise anything on damaged bytes
        raise UnreadableImage(
            f"damaged, or not known to {module} ({type(error).__name__}: {error})"
        ) from error


def numbered(series: Sequence[Series]) -> list[Series]:
    """Returns the images with the numbers of their first planes, in the given order."""
    found: list[Series] = []
    page = 0
    for one in series:
        one = replace(one, first_page=page)
        page += one.planes
        found.append(one)
    return found


def _series_of(series: Sequence[Series], page: int) -> int:
    return bisect_right([one.first_page for one in series], page) - 1


def _plane_info(series: Sequence[Series], page: int) -> PixelInfo:
    last = series[-1]
    count = last.first_page + last.planes
    if not 0 <= page < count:
        raise UnreadableImage(f"it has no frame {page}: its {count} are counted from 0")
    one = series[_series_of(series, page)]
    if one.problem:
        raise UnreadableImage(one.problem)
    if one.depth > MOST_PROJECTED:
        raise UnreadableImage(
            f"{one.depth:,} z-steps of one field; the limit is {MOST_PROJECTED:,}, because they are "
            "projected to one plane: project them before"
        )
    return _info(one, Stack(1, ("",), 1, (page,)))


def _colours(one: Series) -> tuple[int, ...]:
    return (one.samples,) if one.samples > 1 else ()


def _info(one: Series, stack: Stack) -> PixelInfo:
    return PixelInfo(
        height_px=one.height_px,
        width_px=one.width_px,
        samples=one.samples,
        dtype=one.dtype,
        stack=stack,
        pixel_size_um=one.pixel_size_um,
        oblong_um=one.oblong_um,
        channels=one.channels,
    )
