"""Interface of file formats (:class:`FileFormat`).

A format recognises its files by their first bytes, reads their headers, and opens them for reading by box.
Formats come from the entry points ``nucbatch.formats``. Another package adds one with one line there:

    [project.entry-points."nucbatch.formats"]
    pgm = "my_package.pgm:Pgm"

A format whose files can hold several images (:class:`ContainerFormat`) also lists these images; wells, fields
and channels are made of them by the layout ``containers``. Planes are numbered through the whole file, so
that a page number is enough to address one.

Libraries of optional formats are imported when a file is opened, and not before.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.plate import Channel
from nucbatch.readers.formats.pixel_info import PixelInfo
from nucbatch.readers.formats.plane_reader import ImageSource


class MissingLibrary(UnreadableImage):
    """The library that reads a format is not installed; the message has the command that installs it."""


class FileFormat(Protocol):
    """Format of image files.

    Attributes:
        name: of the entry point.
        suffixes: endings of its files, in lower case and with the dot.
    """

    name: str

    @property
    def suffixes(self) -> Collection[str]: ...

    def recognises(self, start: bytes) -> bool:
        """Returns whether a file with these first 32 bytes has this format."""
        ...

    def header(self, file: BinaryIO, path: Path, page: int | None = None) -> PixelInfo:
        """Reads the header of a file, and checks that the file is complete as far as the header tells.

        Args:
            file: the open file, at its beginning.
            path: where it lies.
            page: number of the only plane to use, from 0; None for all planes of the file.

        Raises:
            UnreadableImage: the file cannot be used; the message is the bare reason, without the path.
        """
        ...

    def page_headers(self, file: BinaryIO, path: Path, pages: Sequence[int]) -> list[PixelInfo | str]:
        """Reads the headers of single planes as :meth:`header`, or the reasons why they can't be used."""
        ...

    def open(self, path: Path, shown: str) -> ImageSource:
        """Opens a file for reading; ``shown`` is its name in messages.

        Raises:
            UnreadableImage: it is damaged; the message names it.
        """
        ...


@dataclass(frozen=True, slots=True)
class Series:
    """One image of a container: its channels, z-steps and time points at one place.

    Attributes:
        name: as the container records it; may be empty.
        first_page: number of its first plane in the file.
        times: number of time points.
        channels: its channels; a single one may have an empty name. Of a colour image, one without a name.
        depth: number of z-steps.
        height_px: height of a plane.
        width_px: width of a plane.
        dtype: NumPy name of the pixel type.
        samples: values per pixel: 1 for grey, 3 for RGB. TIFF pages tell it themselves.
        well: well that the container records, such as ``B03``; empty if none.
        site: number of the field in its well, from 1; 0 if the container does not record it.
        pixel_size_um: None if unknown, or if pixels are not square.
        oblong_um: width and height of pixels that are not square.
        position_um: (y, x) of the image's centre on the stage, y down; None if unknown.
        stage_um: (y, x) of the image's centre as the stage counts, where the container does not record which
            way its axes run in the image; None if unknown.
        unused_position: the container records a stage position that can't be used.
        problem: reason why the image cannot be used; empty if it can.
        pages: numbers of its planes in the order (t, c, z), z fastest; empty if they run from ``first_page``.
    """

    name: str
    first_page: int
    times: int
    channels: tuple[Channel, ...]
    depth: int
    height_px: int
    width_px: int
    dtype: str
    samples: int = 1
    well: str = ""
    site: int = 0
    pixel_size_um: float | None = None
    oblong_um: tuple[float | None, float | None] | None = None
    position_um: tuple[float, float] | None = None
    stage_um: tuple[float, float] | None = None
    unused_position: bool = False
    problem: str = ""
    pages: tuple[int, ...] = ()

    def page(self, t: int, c: int, z: int) -> int:
        """Returns the number of a plane; z is fastest, then the channel, then time."""
        place = (t * len(self.channels) + c) * self.depth + z
        return self.pages[place] if self.pages else self.first_page + place

    def place(self, page: int) -> tuple[int, int, int]:
        """Returns (t, c, z) of a plane's number."""
        rest, z = divmod(page - self.first_page, self.depth)
        return (*divmod(rest, len(self.channels)), z)

    @property
    def planes(self) -> int:
        """Number of planes."""
        return self.times * len(self.channels) * self.depth


@runtime_checkable
class ContainerFormat(FileFormat, Protocol):
    """Format of files that can hold several images.

    Attributes:
        containers: those of ``suffixes`` whose files are read as containers.
    """

    @property
    def containers(self) -> Collection[str]: ...

    def series(self, path: Path) -> Sequence[Series]:
        """Lists the images of a file in its own order, after checking that the file is complete.

        Raises:
            MissingLibrary: the library that reads it is not installed.
            UnreadableImage: the file cannot be used; the message is the bare reason, without the path.
        """
        ...
