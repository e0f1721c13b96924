"""Finds the image files named by the rows of a manifest, always below one folder, the root.

Paths of another machine (``/mnt/share/plate/x.tif``, ``D:\\plate\\x.tif``, ``s3://bucket/plate/x.tif``) are
mapped only if the user names a folder above the images (:mod:`nucbatch.readers.layouts.manifest_root`).
Otherwise paths are relative to the manifest's folder, or lie below it. Where the root is an address in an
object store, rows name objects below it by their address or by a relative path; each folder is listed once.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote, urlsplit

from nucbatch.object_store import is_address
from nucbatch.readers.layouts.manifest_root import MovedFolders
from nucbatch.readers.layouts.manifest_table import Row
from nucbatch.readers.listing import FoundFile, look_up
from nucbatch.readers.object_listing import objects_in

_NO_FILE = "no such file"
_DRIVE = re.compile(r"[A-Za-z]:(?=[\\/])")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


@dataclass(frozen=True)
class Locator:
    """Finds image files below a root.

    Attributes:
        root: absolute folder without links.
        moved: the user named the root, so rows may contain paths of another machine.
    """

    root: str
    moved: bool

    def find(self, row: Row, channel: str) -> tuple[str, FoundFile | str]:
        """Finds the file of a channel.

        Returns:
            The path for messages (empty if the row names no file), and the file or the reason why it cannot
            be used.
        """
        given, fault = _written(row, channel, self.moved, is_address(self.root))
        if fault or not given:
            return given, fault
        if "\0" in given:
            return given.replace("\0", "\\0"), "its path holds a zero byte"
        found = self._look_up(given)
        if found == _NO_FILE and "\\" in given:
            given = given.replace("\\", "/")
            found = self._look_up(given)
        return self._shown(given), found

    def _look_up(self, given: str) -> FoundFile | str:
        if is_address(self.root):
            return self._look_up_object(given)
        relative = self._shown(given)
        if not self.moved:
            found = look_up(self.root, relative)
            if isinstance(found, str) and Path(relative).is_absolute():
                return f"{found}, or name the folder that holds them with --root"
            if found == _NO_FILE and (_DRIVE.match(relative) or _ADDRESS.match(relative)):
                return f"{_NO_FILE} on this machine: name the folder that holds the images with --root"
            return found
        parts = [part for part in posixpath.normpath(_DRIVE.sub("", relative)).split("/") if part]
        while parts and parts[0] == "..":  # parents of the other machine's folder are unknown here
            parts = parts[1:]
        if not parts:
            return _NO_FILE
        folder, doubt = self._folders.find(parts[:-1])
        return doubt or look_up(self.root, f"{folder}/{parts[-1]}".lstrip("/"))

    def _look_up_object(self, given: str) -> FoundFile | str:
        if is_address(given):
            if not given.startswith(f"{self.root}/"):
                return f"it lies outside {self.root}: name a folder above it with --root"
            given = given[len(self.root) + 1 :]
        below = posixpath.normpath(given)
        if below.startswith(("../", "/")) or below in ("..", "."):
            return f"it leads out of {self.root}: name objects below it, by address or relative path"
        folder, _, name = below.rpartition("/")
        if folder not in self._listed:
            self._listed[folder] = objects_in(self.root, folder)
        return self._listed[folder].get(name, _NO_FILE)

    @cached_property
    def _listed(self) -> dict[str, dict[str, FoundFile]]:
        """Objects by name of the folders that rows have named so far."""
        return {}

    @cached_property
    def _folders(self) -> MovedFolders:
        return MovedFolders(self.root)

    def _shown(self, given: str) -> str:
        """Returns the path relative to the root if it lies below it; else as written."""
        if is_address(self.root):
            return given.removeprefix(f"{self.root}/")
        path = Path(given)
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.as_posix()


def _written(row: Row, channel: str, moved: bool, in_store: bool) -> tuple[str, str]:
    """Returns the path in a row (empty if there is none), and the reason why it cannot be followed."""
    name = row.get(f"FileName_{channel}")
    if name:
        folder = row.get(f"PathName_{channel}").rstrip("/\\")
        return f"{folder}/{name}" if folder else name, ""
    url = row.get(f"URL_{channel}")
    if not url or _DRIVE.match(url) or in_store:
        return url, ""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        return url, f"no address that can be read ({error}): write a path below the manifest's folder"
    path = unquote(parts.path)
    if moved:
        return _without_slash_before_drive(path), ""
    if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost"):
        return url, (
            "only files are read, no addresses on a network: copy it beside the manifest, or name the folder "
            "of the copies with --root"
        )
    return _without_slash_before_drive(path), ""


def _without_slash_before_drive(path: str) -> str:
    """Removes the leading slash before a drive: ``file:///C:/x.tif`` has the path ``/C:/x.tif``."""
    return path[1:] if _DRIVE.match(path[1:]) else path
