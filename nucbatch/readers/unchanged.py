"""Checks that a file has not changed since the run was planned: its location, size and modification time.

A file that changes between planning and reading, or while it is read, fails its field, because pixels other
than those that were checked could give a plausible but wrong number. The same holds for a file in a folder
that has been replaced by a link. For an OME-Zarr image the group's metadata are checked, not its chunks.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from nucbatch.core.errors import ImageUnavailable, UnreadableImage
from nucbatch.core.plate import Plane
from nucbatch.object_store import ObjectPath, ahead, is_address, path_in, shown_version

_METADATA = ("zarr.json", ".zattrs")  # Zarr 3, Zarr 2


def stamp(path: Path) -> tuple[int, int]:
    """Returns (size in bytes, modification time in ns) of a file, or of an OME-Zarr image's metadata.

    Raises:
        OSError: the file cannot be accessed.
    """
    info = _metadata_stat(path) if path.is_dir() else path.stat()
    return info.st_size, info.st_mtime_ns


def _metadata_stat(group: Path) -> os.stat_result:
    for name in _METADATA:
        try:
            return (group / name).stat()
        except FileNotFoundError:
            continue
        except ImageUnavailable:
            if isinstance(group, ObjectPath) and group.lists:
                raise
            continue  # many web servers refuse what is not there
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(group))


_FETCHED_AHEAD = 4
"""Files of a field that are fetched from a store before they are used; each needs up to 8 MiB."""


def opened_ahead(root: str | Path, planes: Sequence[Plane]) -> Iterator[AbstractContextManager[Path]]:
    """Yields the context of :func:`unchanged` for one plane of each file of a field.

    The first bytes of several objects of a store are fetched at once.
    """
    if not is_address(str(root)) or len(planes) < 2:
        yield from (unchanged(root, plane) for plane in planes)
        return
    fetched = ahead(partial(_fetched, root), planes, _FETCHED_AHEAD)
    for plane, one in zip(planes, fetched, strict=True):
        yield unchanged(root, plane, one.result)


@contextmanager
def unchanged(
    root: str | Path, plane: Plane, fetched: Callable[[], ObjectPath | None] | None = None
) -> Iterator[Path]:
    """Gives the path of a plane's file, which is the same at the begin and at the end of the context.

    An object of a store is checked by the request that reads it, and only this version of it is read.

    Args:
        root: root of the plate.
        plane: the plane.
        fetched: returns the object of a store, if its first bytes are being fetched already.

    Raises:
        ImageUnavailable: as :func:`require_unchanged`.
    """
    path = path_in(root, plane.path)
    if isinstance(path, ObjectPath) and (found := fetched() if fetched else _fetched(root, plane)):
        yield found
        return
    if isinstance(path, ObjectPath):
        # What has changed before it is read differs afterwards too, so one look at the end will do.
        try:
            yield path
        except UnreadableImage:
            require_unchanged(root, plane)
            raise
    else:
        require_unchanged(root, plane)
        yield path
    require_unchanged(root, plane)


def _fetched(root: str | Path, plane: Plane) -> ObjectPath | None:
    """Fetches the first bytes of a plane's object; None for an OME-Zarr image.

    Raises:
        ImageUnavailable: it is missing, has changed, or the store does not answer; the message names it.
    """
    path = path_in(root, plane.path)
    if not isinstance(path, ObjectPath) or plane.path.endswith("/"):
        return None
    try:
        return path.at_version(plane.size_bytes, plane.mtime_ns).fetched()
    except FileNotFoundError as error:
        raise _vanished(plane) from error
    except ImageUnavailable as error:
        raise ImageUnavailable(f"{plane.path}: {error}") from error


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
