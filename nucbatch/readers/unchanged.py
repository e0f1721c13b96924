"""Whether a file is still the one that was planned: by its place, its size and its time of change.

A file that changed between the plan and its block, or while it was read, fails its field: a number from other
pixels than those that were listed and checked would look like any other. So does a file in a folder that has
become a link since, wherever it leads. Of an OME-Zarr image the group's metadata stand for the whole; its
chunks are not looked at.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from nucbatch.core.errors import ImageUnavailable
from nucbatch.core.plate import Plane

_METADATA = ("zarr.json", ".zattrs")  # Zarr 3, Zarr 2


def stamp(path: Path) -> tuple[int, int]:
    """(bytes, time of change in ns) of a file, or of the metadata of an OME-Zarr image's group.

    Raises:
        OSError: it can't be looked at.
    """
    info = path.stat()
    if path.is_dir():
        found = [path / name for name in _METADATA if (path / name).is_file()]
        info = (found[0] if found else path / _METADATA[0]).stat()
    return info.st_size, info.st_mtime_ns


def require_unchanged(root: str | Path, plane: Plane) -> None:
    """Refuses a plane whose file is gone, or is not what and where it was. One without a record passes.

    Raises:
        ImageUnavailable: it is so; the message names the file.
    """
    planned = plane.size_bytes, plane.mtime_ns
    if planned == (0, 0):
        return
    _require_in_place(root, plane.path)
    try:
        found = stamp(Path(root, plane.path))
    except FileNotFoundError as error:
        raise ImageUnavailable(
            f"{plane.path}: has vanished since the run was planned: put it back, then give the same command "
            "again"
        ) from error
    except OSError as error:
        raise ImageUnavailable(f"{plane.path}: can't be opened ({error.strerror or error})") from error
    if found != planned:
        raise ImageUnavailable(
            f"{plane.path}: has changed since the run was planned ({_told(*planned)}; now {_told(*found)}): "
            "give the same command again once nothing writes to it any more"
        )


def _require_in_place(root: str | Path, path: str) -> None:
    """Refuses a path that leads out of the root, or whose folders are links: none was when it was listed.

    A file itself may be a link to another one below the root; an OME-Zarr image (its path ends in ``/``) is a
    folder.
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


def _told(size_bytes: int, mtime_ns: int) -> str:
    when = datetime.fromtimestamp(mtime_ns // 10**9, UTC)
    return f"{size_bytes:,} bytes of {when:%Y-%m-%d %H:%M:%S}.{mtime_ns % 10**9:09d} UTC"
