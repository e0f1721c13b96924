"""Lists all files below the input once, in an order that does not depend on the disk.

- Links that lead out of the input are rejected (``realpath`` must stay inside). Links to folders are not
  followed, and links to files that are listed too are ignored.
- System files, results of earlier runs and Zarr stores are one record each instead of thousands (its path
ends
  in ``/``). An input that is itself a Zarr group is such a record below its parent.
- Files whose names a table cannot hold are rejected.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, TypeVar

from nucbatch.core.errors import InputError, InputNotFound
from nucbatch.core.gc_pause import gc_paused
from nucbatch.core.plate import READ_TIMEOUT_S, FileRecord
from nucbatch.object_store import ObjectPath, as_path, path_in
from nucbatch.readers.formats.xml_stream import Element, stream_elements
from nucbatch.readers.read_timeout import Beat, within
from nucbatch.readers.rules import ignored, is_image_name, junk_rule, quarantined
from nucbatch.zarr_format.ome import GROUP_MARKERS, is_group

T = TypeVar("T")

_FIRST = 1024  # entries of a folder that are kept to look for markers

LINK_TO_NOTHING = "a link to nothing: its target is gone"
LINK_OUT = "a link that leads out of the input: copy the file, or give its own folder"


class FoundFile(NamedTuple):
    """Regular file below the root. (A plain tuple, because there may be millions.)

    Attributes:
        path: relative, with ``/``, valid Unicode.
        size_bytes: size of the file.
        mtime_ns: modification time.
        is_link: a symbolic link to a file inside the input.
    """

    path: str
    size_bytes: int = 0
    mtime_ns: int = 0
    is_link: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """Files found below the input, sorted by path.

    Attributes:
        root: absolute folder, links resolved; the parent folder if the input is one file.
        name: name of the input, without folders.
        files: files for the readers.
        settled: records that are already decided; a reader of Zarr stores may take :meth:`stores` from them.
        single: the input is one file.
        read_timeout_s: longest time for one read of a file, as long as the input is opened; kept by the
            methods ``read``, ``read_bytes`` and ``read_elements``.
    """

    root: str
    name: str
    files: tuple[FoundFile, ...]
    settled: tuple[FileRecord, ...] = ()
    single: bool = False
    read_timeout_s: float = READ_TIMEOUT_S

    def images(self) -> tuple[FoundFile, ...]:
        """Returns the files with the suffix of a readable image."""
        return tuple(file for file in self.files if is_image_name(file.path))

    def mostly(self, fits: Callable[[str], object]) -> bool:
        """Returns whether the paths of at least half of the images fit; False for a single file."""
        images = self.images()
        fitting = sum(1 for file in images if fits(file.path))
        return not self.single and fitting > 0 and 2 * fitting >= len(images)

    def others(self) -> tuple[FoundFile, ...]:
        """Returns the files without such a suffix."""
        return tuple(file for file in self.files if not is_image_name(file.path))

    def read(self, path: str, reads: Callable[[Path], T]) -> T:
        """Reads a file below the root, and gives up if the disk does not answer in time.

        Args:
            path: path of the file, relative to the root.
            reads: gets the file's full path; runs in a thread.

        Raises:
            ImageUnavailable: the file does not answer in time.
        """
        return self.read_in_steps(path, lambda full, _: reads(full))

    def read_in_steps(self, path: str, reads: Callable[[Path, Beat], T]) -> T:
        """Reads a file as :meth:`read`; ``reads`` also gets a function that restarts the timeout."""
        full = path_in(self.root, path)
        return within(self.read_timeout_s, path, lambda beat: reads(full, beat))

    def read_bytes(self, path: str, most_bytes: int) -> bytes:
        """Returns the first bytes of a file; one more than asked for if the file is longer."""

        def start(full: Path) -> bytes:
            with full.open("rb") as file:
                return file.read(most_bytes + 1)

        return self.read(path, start)

    def read_elements(
        self,
        path: str,
        wanted: Collection[str],
        build: Callable[[Iterator[Element]], T],
        *,
        heads: Collection[str] = (),
        undeclared: str = "utf-8",
    ) -> T:
        """Streams the elements of an XML file through ``build`` and returns its result.

        ``build`` gets an iterator over :func:`.xml_stream.stream_elements`, runs in a reading thread, and
        should keep no more of each element than it needs. If the file turns out to be damaged, what it built
        so far is lost.

        >>> import tempfile
        >>> xml = b'<p:Log xmlns:p="urn:x" Rows="8"><p:Image No="1">a.tif</p:Image><p:Image No="2"/></p:Log>'
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "log.xml").write_bytes(xml)
        ...     Listing(folder, "plate", ()).read_elements(
        ...         "log.xml",
        ...         {"Image"},
        ...         lambda found: [(one.tag, one.attributes, one.text) for one in found],
        ...         heads={"Log"},
        ...     )
        [('Log', {'Rows': '8'}, ''), ('Image', {'No': '1'}, 'a.tif'), ('Image', {'No': '2'}, '')]

        Args:
            path: path of the file, relative to the root.
            wanted: local names of the elements to give.
            build: consumes the elements.
            heads: as in :func:`.xml_stream.stream_elements`.
            undeclared: as in :func:`.xml_stream.stream_elements`.

        Raises:
            UnreadableImage: as :func:`.xml_stream.stream_elements`.
            ImageUnavailable: the file does not answer in time.
        """
        return self.read_in_steps(
            path,
            lambda full, beat: build(
                stream_elements(full, wanted, heads=heads, undeclared=undeclared, beat=beat)
            ),
        )

    def stores(self) -> tuple[str, ...]:
        """Returns the paths of the Zarr stores, each ending in ``/``."""
        reason = ignored("", "zarr-store").reason
        return tuple(record.path for record in self.settled if record.reason == reason)


def scan(path: Path) -> Listing:
    """Lists everything below a folder, or one file.

    Raises:
        InputNotFound: the path does not exist.
        InputError: it is neither a file nor a folder, or cannot be listed.
    """
    if isinstance(path, ObjectPath):
        from nucbatch.readers.object_listing import scan_objects

        return scan_objects(path)
    try:
        resolved = path.resolve(strict=True)
        mode = resolved.stat().st_mode
    except FileNotFoundError as error:
        raise InputNotFound(f"{path} does not exist: give a folder, an image or a manifest CSV.") from error
    except (OSError, RuntimeError) as error:
        raise InputError(f"{path} can't be opened ({error}): check its permissions and links.") from error
    # The name goes into tables, so bytes that are not Unicode are escaped, as in file names.
    name = os.fsencode(path.name or resolved.name).decode(errors="backslashreplace")
    root_name = os.fsencode(resolved.name).decode(errors="backslashreplace")
    if stat.S_ISREG(mode):
        info = resolved.stat()
        try:
            resolved.name.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"{root_name}: its name is not valid UTF-8: rename it.") from error
        file = FoundFile(resolved.name, info.st_size, info.st_mtime_ns)
        return Listing(str(resolved.parent), name, (file,), single=True)
    if not stat.S_ISDIR(mode):
        raise InputError(f"{path} is neither a file nor a folder: give a folder, an image or a manifest CSV.")
    if not os.access(resolved, os.R_OK | os.X_OK):
        raise InputError(f"{path} may not be listed: ask for read permission on the folder.")
    if is_group(resolved):
        store = ignored(f"{resolved.name}/", "zarr-store")
        shown = root_name if name in ("", ".", "..") else name
        return Listing(str(resolved.parent), shown, (), (store,))
    files, settled = _walk(str(resolved))
    files, links = _without_links(str(resolved), files)
    settled += links
    files.sort(key=lambda file: file.path)
    settled.sort(key=lambda record: record.path)
    return Listing(
        str(resolved), root_name if name in ("", ".", "..") else name, tuple(files), tuple(settled)
    )


def _without_links(root: str, files: list[FoundFile]) -> tuple[list[FoundFile], list[FileRecord]]:
    """Returns the files without links to others of them, and the records of these links."""
    linked = {file.path: os.path.realpath(Path(root, file.path)) for file in files if file.is_link}
    if not linked:
        return files, []
    listed = {str(Path(root, file.path)) for file in files if not file.is_link}
    twice = {path for path, target in linked.items() if target in listed}
    records = [ignored(path, "linked-file") for path in twice]
    return [file for file in files if file.path not in twice], records


def look_up(root: str, relative: str) -> FoundFile | str:
    """Finds one named file below the root, or the reason why it cannot be used.

    For readers whose side files name images: the name may not lead out of the root, by ``..`` or by a link.
    """
    where = as_path(root)
    if isinstance(where, ObjectPath):
        from nucbatch.readers.object_listing import look_up_object

        return look_up_object(where, relative)
    full = os.path.realpath(Path(root, relative))
    if not _inside(full, root):
        return "it leads out of the folder of the manifest: put the images below it, with relative paths"
    try:
        info = Path(full).stat()
    except FileNotFoundError:
        return "no such file"
    except (OSError, ValueError) as error:
        return f"it can't be opened ({error})"
    if not stat.S_ISREG(info.st_mode):
        return "it is not a regular file"
    return FoundFile(os.path.relpath(full, root).replace(os.sep, "/"), info.st_size, info.st_mtime_ns)


@gc_paused()
def _walk(root: str) -> tuple[list[FoundFile], list[FileRecord]]:
    files: list[FoundFile] = []
    settled: list[FileRecord] = []
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        known = len(files), len(settled), len(waiting)
        try:
            with os.scandir(Path(root, folder)) as entries:
                first: list[os.DirEntry[str]] = []
                rule = _rule_of(Path(root, folder), entries, first) if folder else ""
                if rule:
                    settled.append(ignored(folder, rule))
                    continue
                for entry in chain(first, entries):
                    verdict = _verdict(entry, root, folder + entry.name)
                    if isinstance(verdict, FoundFile):
                        files.append(verdict)
                    elif isinstance(verdict, FileRecord):
                        settled.append(verdict)
                    else:
                        if is_image_name(entry.name):
                            reason = "a folder, though named like an image"
                            settled.append(quarantined(folder + entry.name, reason))
                        waiting.append(verdict)
        except OSError as error:
            del files[known[0] :], settled[known[1] :], waiting[known[2] :]
            settled.append(quarantined(folder, f"the folder can't be listed ({error.strerror})"))
    return files, settled


def _rule_of(folder: Path, entries: Iterator[os.DirEntry[str]], first: list[os.DirEntry[str]]) -> str:
    """Returns the rule by which a folder below the input is ignored as a whole; empty for none.

    Entries take memory, so only the ``first`` of many are kept; the markers are then looked for by name.
    """
    markers = {".nucbatch": "earlier-run"} | dict.fromkeys(GROUP_MARKERS, "zarr-store")
    first += islice(entries, _FIRST)
    names = {entry.name for entry in first}
    if len(first) == _FIRST:
        names |= {marker for marker in markers if os.path.lexists(folder / marker)}
    return next((rule for marker, rule in markers.items() if marker in names), "")


def _verdict(entry: os.DirEntry[str], root: str, path: str) -> FoundFile | FileRecord | str:
    """Returns a file, a settled record, or (as text) a relative folder to list next, ending in ``/``."""
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        if entry.is_dir(follow_symlinks=False):
            return quarantined(shown + "/", "the folder's name is not valid UTF-8: rename it to have it read")
        return quarantined(shown, "its name is not valid UTF-8: rename it")
    try:
        if entry.is_symlink():
            return _link(entry, root, path)
        if entry.is_dir(follow_symlinks=False):
            rule = junk_rule(entry.name, folder=True)
            return ignored(path + "/", rule) if rule else path + "/"
        return _file(path, entry.name, entry.stat(follow_symlinks=False))
    except OSError as error:
        return quarantined(path, f"it can't be opened ({error.strerror})")


def _link(entry: os.DirEntry[str], root: str, path: str) -> FoundFile | FileRecord:
    rule = junk_rule(entry.name, folder=False)
    if rule:
        return ignored(path, rule)
    target = Path(os.path.realpath(entry.path))
    if not target.exists():
        return quarantined(path, LINK_TO_NOTHING)
    if not _inside(str(target), root):
        return quarantined(path, LINK_OUT)
    if target.is_dir():
        return ignored(path, "linked-folder")
    found = _file(path, entry.name, target.stat())
    if isinstance(found, FileRecord):
        return found
    return FoundFile(found.path, found.size_bytes, found.mtime_ns, is_link=True)


def _file(path: str, name: str, info: os.stat_result) -> FoundFile | FileRecord:
    rule = junk_rule(name, folder=False)
    if rule:
        return ignored(path, rule)
    if not stat.S_ISREG(info.st_mode):
        return quarantined(path, "not a regular file (a socket, pipe or device)")
    return FoundFile(path, info.st_size, info.st_mtime_ns)


def _inside(full: str, root: str) -> bool:
    return os.path.commonpath([full, root]) == root
