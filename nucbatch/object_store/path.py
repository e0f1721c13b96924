"""Paths of inputs: local ones, and :class:`ObjectPath` for an address such as ``s3://bucket/plate``.

An ObjectPath has those methods of :class:`pathlib.Path` that reading needs, so that the readers are the same
for both. :func:`path_in` gives the one or the other. Nothing is written through these paths.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Generator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeVar, cast

from nucbatch.core.errors import ImageUnavailable, InputError
from nucbatch.object_store.object_file import HEADER_BYTES, WHOLE_BYTES, ObjectFile, StoredBytes
from nucbatch.object_store.requests import stamp_ns

SCHEMES = ("s3", "gs", "az", "http", "https")

if TYPE_CHECKING:
    _Base = Path
else:
    _Base = PurePosixPath


def is_address(text: str) -> bool:
    """Returns whether a text is the address of an object store.

    >>> [is_address(text) for text in ("s3://bucket/plate", "/data/plate", "tls://host:80", "file:///a")]
    [True, False, False, False]
    """
    return text.partition("://")[0] in SCHEMES and "://" in text


T = TypeVar("T")


class ObjectPath(_Base):
    """Object, or folder of objects, in a store; reads like a path.

    Its parts are the scheme, the bucket (of HTTP the host) and the parts of the key.

    >>> plate = ObjectPath("s3://bucket/screen/plate")
    >>> str(plate / "A01.tif"), plate.parent.name, (plate / "A01.tif").key
    ('s3://bucket/screen/plate/A01.tif', 'screen', 'screen/plate/A01.tif')
    """

    _kind = ""
    _content: StoredBytes | None = None

    def __str__(self) -> str:
        scheme, *rest = self.parts
        return f"{scheme}//{'/'.join(rest)}"

    @property
    def bucket(self) -> str:
        """Address of the bucket, ``s3://bucket``; of HTTP of the host."""
        return f"{self.parts[0]}//{self.parts[1]}"

    @property
    def key(self) -> str:
        """Name of the object in its bucket."""
        return "/".join(self.parts[2:])

    @property
    def lists(self) -> bool:
        """Whether the store can list its objects; a web server can't."""
        return self.parts[0] not in ("http:", "https:")

    def at_version(self, size_bytes: int, modified_ns: int, *, header: bool = False) -> ObjectPath:
        """Returns the path of one version of the object; its bytes are fetched once and kept.

        Args:
            size_bytes: size of the version.
            modified_ns: number of the version, as :meth:`stat` gives it; 0 and 0 for any version.
            header: only the header is wanted, so fetch little at first.
        """
        path = ObjectPath(self)
        first_bytes = HEADER_BYTES if header else WHOLE_BYTES
        path._content = StoredBytes(self.bucket, self.key, (size_bytes, modified_ns), first_bytes)
        return path

    def fetched(self) -> ObjectPath:
        """Returns the path of a version, once its first bytes are there.

        Raises:
            FileNotFoundError: there is no such object. ImageUnavailable: it is another version.
        """
        if self._content is not None:
            self._content.fetched()
        return self

    def known_as(self, kind: Literal["file", "folder"]) -> ObjectPath:
        """Returns the path marked as a file or folder, so that no request is needed to find out."""
        path = ObjectPath(self)
        path._kind = kind
        return path

    def open(self, mode: str = "rb", *_: Any, **__: Any) -> BinaryIO:  # type: ignore[override]  # for reading bytes alone
        """Opens the object for reading."""
        if mode != "rb":
            raise io.UnsupportedOperation(f"{self} is only read, in binary mode")
        content = self._content or StoredBytes(self.bucket, self.key, first_bytes=HEADER_BYTES)
        return cast(BinaryIO, ObjectFile(content.fetched()))

    def read_bytes(self) -> bytes:
        """Returns the whole object."""
        content = (self._content or StoredBytes(self.bucket, self.key)).fetched()
        return content.read_at(0, content.size)

    def stored_bytes(self, *, header: bool = False) -> StoredBytes:
        """Returns the object for reads at any place; ``header``: little of it is wanted."""
        first_bytes = HEADER_BYTES if header else WHOLE_BYTES
        return (self._content or StoredBytes(self.bucket, self.key, first_bytes=first_bytes)).fetched()

    def stat(self, **_: Any) -> os.stat_result:
        """Returns size and time of the object; its time also tells versions of the same second apart.

        Raises:
            FileNotFoundError: there is no such object.
        """
        found = StoredBytes(self.bucket, self.key).described()
        modified_ns = stamp_ns(found)
        seconds = modified_ns // 10**9
        values = (stat.S_IFREG | 0o444, 0, 0, 1, 0, 0, found["size"], seconds, seconds, seconds)
        extra = {"st_mtime_ns": modified_ns, "st_atime_ns": modified_ns, "st_ctime_ns": modified_ns}
        return os.stat_result(values, extra)

    def is_file(self) -> bool:
        """Returns whether there is such an object."""
        if self._kind == "folder" or len(self.parts) < 3:
            return False
        if self._content is not None:
            return True
        return self.if_there(self.stat) is not None

    def if_there(self, ask: Callable[[], T]) -> T | None:
        """Returns the answer to a question about the object; None if there is no such object.

        Raises:
            ImageUnavailable: the store does not answer.
        """
        try:
            return ask()
        except FileNotFoundError:
            return None
        except ImageUnavailable:
            if self.lists:
                raise
            return None  # many web servers refuse what is not there

    def is_dir(self) -> bool:
        """Returns whether this is a folder: there is no object of this name, but there are some below it."""
        if self._kind == "folder":
            return True
        if self._kind == "file" or self._content is not None or self.is_file():
            return False
        return not self.lists or next(self.iterdir(), None) is not None

    def is_symlink(self) -> bool:
        """Returns False; stores have no links."""
        return False

    def iterdir(self) -> Generator[ObjectPath]:
        """Yields the objects and folders directly below this one."""
        from nucbatch.object_store.list_objects import children

        for name in children(self.bucket, self.key):
            child = self / name.rstrip("/")
            yield child.known_as("folder" if name.endswith("/") else "file")


def as_path(path: str | Path) -> Path:
    """Returns the path of a file, or of an address in a store."""
    if isinstance(path, ObjectPath):
        return path
    text = str(path)
    return ObjectPath(text) if is_address(text) else Path(path)


def disk_path(path: str | Path) -> Path:
    """Returns the path of a file or folder on a disk.

    Raises:
        InputError: it is an address.
    """
    found = as_path(path)
    if isinstance(found, ObjectPath):
        raise InputError(
            f"{found} is an address in an object store: give a file or folder on a disk. A run is copied "
            f"with `nucbatch copy {found} FOLDER`."
        )
    return found


def path_in(root: str | Path, below: str = "") -> Path:
    """Returns the path of a record below a root; a name that ends in ``/`` is a folder, any other a file."""
    where = as_path(root)
    if not isinstance(where, ObjectPath):
        return Path(where, below)
    return (where / below).known_as("folder" if below.endswith("/") else "file") if below else where
