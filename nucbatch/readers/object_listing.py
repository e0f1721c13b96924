"""Lists the objects below an address in a store, with the rules of local folders.

Names come by pages in their order, so no more than a page is held beside the files themselves. The objects of
a Zarr store, a hidden folder or an earlier run are skipped, not listed: one record stands for all of them. A
web server (http, https) can't list, so there an address is one file or one OME-Zarr.
"""

from __future__ import annotations

import posixpath

from nucbatch.core.errors import ImageUnavailable, InputError, InputNotFound
from nucbatch.core.gc_pause import gc_paused
from nucbatch.core.plate import FileRecord
from nucbatch.object_store import ObjectPath, as_path
from nucbatch.object_store.connect import require_library
from nucbatch.object_store.list_objects import direct_objects, objects
from nucbatch.object_store.requests import stamp_ns
from nucbatch.readers.listing import FoundFile, Listing
from nucbatch.readers.rules import ignored, junk_rule
from nucbatch.zarr_format.ome import GROUP_MARKERS, is_group

_LAST = "\U0010ffff"
"""Sorts after every name in a folder."""


def scan_objects(path: ObjectPath) -> Listing:
    """Lists all objects below an address, or one object.

    Raises:
        InputNotFound: there is nothing of this name.
        InputError: no such bucket, no permission, or the store does not answer.
    """
    require_library()
    if len(path.parts) < 2:
        raise InputError(f"{path} names no bucket: give an address such as s3://bucket/plate.")
    try:
        if path.lists:
            next(objects(path.bucket, path.key), None)  # names a wrong bucket, not a wrong file
        if path.key and path.is_file():
            info = path.stat()
            file = FoundFile(path.name, info.st_size, info.st_mtime_ns)
            return Listing(str(path.parent), path.name, (file,), single=True)
        if path.key and is_group(path):
            return Listing(str(path.parent), path.name, (), (ignored(f"{path.name}/", "zarr-store"),))
    except ImageUnavailable as error:
        raise InputError(f"{path} can't be opened: {error}.") from error
    if not path.lists:
        raise InputNotFound(
            f"{path} is neither a file nor an OME-Zarr, and a web server can't list a folder: give the "
            "address of an OME-Zarr or of one image."
        )
    files, settled = _walk(path)
    if not files and not settled:
        raise InputNotFound(f"there is no object below {path}: check the name, or list its bucket.")
    files.sort(key=lambda file: file.path)
    settled.sort(key=lambda record: record.path)
    return Listing(str(path), path.name, tuple(files), tuple(settled))


def look_up_object(root: ObjectPath, relative: str) -> FoundFile | str:
    """Finds one named object below an address, or the reason why it cannot be used."""
    below = posixpath.normpath(relative)
    if below.startswith(("../", "/")) or below in ("..", "."):
        return "it leads out of the folder of the manifest: put the images below it, with relative paths"
    try:
        info = (root / below).stat()
    except FileNotFoundError:
        return "no such file"
    except ImageUnavailable as error:
        return f"it can't be opened ({error})"
    return FoundFile(below, info.st_size, info.st_mtime_ns)


def objects_in(root: str, folder: str) -> dict[str, FoundFile]:
    """Lists the objects directly in a folder below an address, by name.

    Raises:
        InputError: no such bucket, or it refuses to list.
    """
    where = as_path(root)
    if not isinstance(where, ObjectPath):
        raise InputError(f"{root} is no address of an object store.")
    place = where / folder if folder else where
    above = f"{folder}/" if folder else ""
    found = direct_objects(place.bucket, place.key)
    names = ((one["path"].rpartition("/")[2], one) for one in found)
    return {name: FoundFile(above + name, one["size"], stamp_ns(one)) for name, one in names}


@gc_paused()
def _walk(path: ObjectPath) -> tuple[list[FoundFile], list[FileRecord]]:
    files: list[FoundFile] = []
    settled: list[FileRecord] = []
    start = len(path.key) + 1 if path.key else 0
    after = ""
    while True:
        for found in objects(path.bucket, path.key, after):
            name = found["path"][start:]
            skipped = _settled_folder(name)
            if skipped is None:
                base = name.rpartition("/")[2]
                rule = junk_rule(base, folder=False)
                if rule:
                    settled.append(ignored(name, rule))
                else:
                    files.append(FoundFile(name, found["size"], stamp_ns(found)))
                continue
            folder, rule = skipped
            while files and files[-1].path.startswith(folder):
                files.pop()
            while settled and settled[-1].path.startswith(folder):
                settled.pop()
            settled.append(ignored(folder, rule))
            after = found["path"][:start] + folder + _LAST
            break
        else:
            return files, settled


def _settled_folder(name: str) -> tuple[str, str] | None:
    """Returns the outermost folder of an object that is one record as a whole, and its rule."""
    *folders, base = name.split("/")
    for depth, folder in enumerate(folders, start=1):
        whole = "/".join(folders[:depth]) + "/"
        inside = folders[depth] if depth < len(folders) else ""
        if inside == ".nucbatch":
            return whole, "earlier-run"
        if not inside and base in GROUP_MARKERS:
            return whole, "zarr-store"
        rule = junk_rule(folder, folder=True)
        if rule:
            return whole, rule
    return None
