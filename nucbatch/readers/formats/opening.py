"""Opens any readable file or OME-Zarr image for windows, told by its first bytes and not by its name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nucbatch.core.plate import Plane
from nucbatch.readers.formats.contract import Source, Window, named
from nucbatch.readers.formats.headers import kind_of
from nucbatch.readers.formats.pictures import PictureSource
from nucbatch.readers.formats.tiff import TiffSource
from nucbatch.readers.formats.zarr import ChunkSource


@contextmanager
def open_source(path: str | Path, shown: str = "") -> Iterator[Source]:
    """A file or an OME-Zarr image's folder, open until the context ends.

    ``shown`` is its name in messages; the path if empty.

    Raises:
        UnreadableImage: it is none, or damaged; the message names it.
    """
    source = _source(Path(path), shown or str(path))
    try:
        yield source
    finally:
        source.close()


@contextmanager
def open_window(path: str | Path, plane: Plane | None = None, *, level: int = 0) -> Iterator[Window]:
    """One plane for reading by boxes: ``path`` is the file, or with ``plane`` the plate's root.

    Without a plane it is the file's first page. ``level`` 0 is the full resolution; see
    :mod:`nucbatch.readers.formats.levels` for how to choose another.

    Raises:
        InputError: there is no such level.
        UnreadableImage: it can't be read.
    """
    where = Path(path) if plane is None else Path(path, plane.path)
    with open_source(where, "" if plane is None else plane.path) as source:
        yield source.window(0 if plane is None else plane.page, level)


def _source(path: Path, shown: str) -> Source:
    if path.is_dir():
        return ChunkSource(path, shown)
    with named(shown), path.open("rb") as file:
        kind = kind_of(file.read(32))
    return TiffSource(path, shown) if kind == "tiff" else PictureSource(path, shown)
