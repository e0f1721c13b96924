"""Files of a package, which is a zip file or a folder, read by name and within limits.

Nothing is unpacked to the disk. A name that leads out of the package, a file that is larger than it may be,
and one whose SHA-256 differs from the description are refused.
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path, PurePosixPath

from nucbatch.core.errors import WeightsError

OWN_WEIGHTS = "nucbatch.safetensors"
"""nucbatch's own weight file in a package that nucbatch made."""
DESCRIPTIONS = ("rdf.yaml", "bioimageio.yaml")
"""Names that a package's description can have."""
LARGEST_DESCRIPTION = 1_000_000
LARGEST_FILE = 4 * 2**30
"""Most bytes of a weight file or test image in a package."""
_MOST_FILES = 10_000


def is_package(path: Path) -> bool:
    """Whether a path is a package: a folder or a zip file with a description at its top."""
    if path.is_dir():
        return any((path / name).is_file() for name in DESCRIPTIONS)
    try:
        with zipfile.ZipFile(path) as stored:
            return any(name in stored.namelist() for name in DESCRIPTIONS)
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):  # unreadable, or no ZIP that opens
        return False


class PackageFiles:
    """The files of a package.

    Args:
        path: a zip file or a folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def description(self) -> bytes:
        """Returns the content of the description.

        Raises:
            WeightsError: it is missing or too large.
        """
        name = next((name for name in DESCRIPTIONS if self._holds(name)), None)
        if name is None:
            raise WeightsError(f"{self.path} has no {' or '.join(DESCRIPTIONS)}.")
        return self.read(name, most=LARGEST_DESCRIPTION)

    def read(self, source: str, sha256: str | None = None, most: int = LARGEST_FILE) -> bytes:
        """Returns the content of a file that the description names.

        Raises:
            WeightsError: the name leads out of the package, or the file is missing, too large, damaged, or
                another than described.
        """
        name = self._inside(source)
        try:
            content = self._folder_file(name, most) if self.path.is_dir() else self._zip_file(name, most)
        except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
            raise WeightsError(f"{name} in {self.path} can't be read: {error}.") from error
        found = hashlib.sha256(content).hexdigest()
        if sha256 is not None and found != sha256.lower():
            raise WeightsError(
                f"{name} in {self.path} has SHA-256 {found[:12]}…, its description says {sha256[:12]}…: "
                "download the package again."
            )
        return content

    def _inside(self, source: str) -> str:
        if "://" in source:
            raise WeightsError(
                f"{self.path} names {source}, which is not in the package. nucbatch downloads nothing: "
                "download the whole package, with its files inside."
            )
        name = PurePosixPath(source)
        if name.is_absolute() or ".." in name.parts or "\\" in source or not name.parts:
            raise WeightsError(f"{self.path} names {source!r}, which is not inside the package.")
        return str(name)

    def _holds(self, name: str) -> bool:
        if self.path.is_dir():
            return (self.path / name).is_file()
        try:
            with zipfile.ZipFile(self.path) as stored:
                return name in stored.namelist()
        except (OSError, zipfile.BadZipFile) as error:
            raise WeightsError(f"{self.path} can't be read: {error}.") from error

    def _folder_file(self, name: str, most: int) -> bytes:
        path = self.path / name
        if not path.resolve().is_relative_to(self.path.resolve()):
            raise WeightsError(f"{name} in {self.path} is a link that leads out of the package.")
        if not path.is_file():
            raise WeightsError(f"{self.path} has no file {name}, which its description names.")
        with path.open("rb") as stream:
            return _at_most(stream.read(most + 1), most, name, self.path)

    def _zip_file(self, name: str, most: int) -> bytes:
        with zipfile.ZipFile(self.path) as stored:
            found = [info for info in stored.infolist() if info.filename == name]
            if len(stored.infolist()) > _MOST_FILES or len(found) > 1:
                raise WeightsError(f"{self.path} has more than {_MOST_FILES:,} files, or two of one name.")
            if not found:
                raise WeightsError(f"{self.path} has no file {name}, which its description names.")
            if found[0].file_size > most:
                raise WeightsError(_too_large(name, self.path, most))
            with stored.open(found[0]) as stream:  # its size may be a lie
                return _at_most(stream.read(most + 1), most, name, self.path)


def _at_most(content: bytes, most: int, name: str, path: Path) -> bytes:
    if len(content) > most:
        raise WeightsError(_too_large(name, path, most))
    return content


def _too_large(name: str, path: Path, most: int) -> str:
    return f"{name} in {path} is larger than {most:,} bytes, the most that is read."
