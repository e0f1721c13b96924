"""Opens any supported image file or OME-Zarr image; the format is detected from the first bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nucbatch.core.plate import Plane
from nucbatch.object_store import as_path, path_in
from nucbatch.readers.formats.installed import format_of
from nucbatch.readers.formats.plane_reader import ImageSource, PlaneReader, naming_file
from nucbatch.readers.formats.zarr import ZarrSource


@contextmanager
def open_source(path: str | Path, shown: str = "") -> Iterator[ImageSource]:
    """Opens an image file or an OME-Zarr image's folder inside the context.

    Args:
        path: file or folder.
        shown: name in messages; the path if empty.

    Raises:
        UnreadableImage: not an image, or damaged; the message names it.
    """
    source = _source(as_path(path), shown or str(path))
    try:
        yield source
    finally:
        source.close()


@contextmanager
def open_plane(path: str | Path, plane: Plane | None = None, *, level: int = 0) -> Iterator[PlaneReader]:
    """Opens one plane for reading by box inside the context.

    Args:
        path: the file; with ``plane`` the plate's root.
        plane: the plane; None for the first page of the file.
        level: resolution level, 0 is the full resolution; :mod:`nucbatch.readers.formats.levels` chooses
            others.

    Raises:
        InputError: no such level.
        UnreadableImage: the plane cannot be read.
    """
    where = as_path(path) if plane is None else path_in(path, plane.path)
    with open_source(where, "" if plane is None else plane.path) as source:
        yield source.plane(0 if plane is None else plane.page, level)


def _source(path: Path, shown: str) -> ImageSource:
    if path.is_dir():
        return ZarrSource(path, shown)
    with naming_file(shown), path.open("rb") as file:
        found = format_of(file)
    return found.open(path, shown)
