"""Checks that a file has not changed since the run was planned: its location, size and modification time.

A file that changes between planning and reading, or while it is read, fails its field, because pixels other
than those that were checked could give a plausible but wrong number. The same holds for a file in a folder
that has been replaced by a link. For an OME-Zarr image the group's metadata are checked, not its chunks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nucbatch.core.errors import ImageUnavailable
from nucbatch.core.plate import Plane
from nucbatch.object_store import ObjectPath, path_in, shown_version

_METADATA = ("zarr.json", ".zattrs")  # Zarr 3, Zarr 2


def stamp(path: Path) -> tuple[int, int]:
    """Returns (size in bytes, modification time in ns) of a file, or of an OME-Zarr image's metadata.

    Raises:
        OSError: the file cannot be accessed.
    """
    info = path.stat()
    if path.is_dir():
        found = [path / name for name in _METADATA if (path / name).is_file()]
        info = (found[0] if found else path / _METADATA[0]).stat()
    return info.st_size, info.st_mtime_ns


@contextmanager
def unchanged(root: str | Path, plane: Plane) -> Iterator[Path]:
    """Gives the path of a plane's file, which is the same at the begin and at the end of the context.

    An object of a store is checked by the request that reads it, and only this version of it is read.

    Raises:
        ImageUnavailable: as :func:`require_unchanged`.
    """
    path = path_in(root, plane.path)
    if isinstance(path, ObjectPath) and not plane.path.endswith("/"):
        try:
            path = path.at_version(plane.size_bytes, plane.mtime_ns).fetched()
        except FileNotFoundError as error:
            raise _vanished(plane) from error
        except ImageUnavailable as error:
            raise ImageUnavailable(f"{plane.path}: {error}") from error
        yield path
        return
    require_unchanged(root, plane)
    yield path
    require_unchanged(root, plane)


def require_unchanged(root: str | Path, plane: Plane) -> None:
    """Checks that a plane's file is unchanged; a plane without recorded size and time passes.

    Raises:
        ImageUnavailable: the file is missing, moved or changed; the message names it.
    """
    planned = plane.size_bytes, plane.mtime_ns
    if planned == (0, 0):
        return
    path = path_in(root, plane.path)
    if not isinstance(path, ObjectPath):
        _require_in_place(root, plane.path)
    try:
        found = stamp(path)
    except FileNotFoundError as error:
        raise _vanished(plane) from error
    except ImageUnavailable as error:
        raise ImageUnavailable(f"{plane.path}: {error}") from error
    except OSError as error:
        raise ImageUnavailable(f"{plane.path}: can't be opened ({error.strerror or error})") from error
    if found != planned:
        raise ImageUnavailable(
            f"{plane.path}: has changed since the run was planned ({shown_version(*planned)}; now "
            f"{shown_version(*found)}): give the same command again once nothing writes to it any more"
        )


def _require_in_place(root: str | Path, path: str) -> None:
    """Rejects a path that leads out of the root, or whose folders are links; none was when it was listed.

    The file itself may be a link to another one below the root. An OME-Zarr image (its path ends in ``/``) is
    a folder.
    """
    base = os.path.realpath(root)
    folder = path.rstrip("/") if path.endswith("/") else path.rpartition("/")[0]
    real = os.path.realpath(Path(root, path))
    if os.path.realpath(Path(root, folder)) != os.path.normpath(Path(base, folder)):
        raise ImageUnavailable(
            f"{path}: its folder is reached by a link, which it was not when the run was planned: put the "
            "folder back, then give the same command again"
        )
    if os.path.commonpath([real, base]) != base:
        raise ImageUnavailable(
            f"{path}: has become a link that leads out of the input: put the file back, then give the same "
            "command again"
        )


def _vanished(plane: Plane) -> ImageUnavailable:
    return ImageUnavailable(
        f"{plane.path}: has vanished since the run was planned: put it back, then give the same command again"
    )
