"""What a vendor layout must offer: a name, a place in the queue, a yes or no from names, and a Plate.

A reader decides from a :class:`Listing` alone whether the layout is its own, and gives each listed file
exactly one :class:`~nucbatch.core.plate.FileRecord`. It parses names and side files and decodes no pixels.
Sizes, pixel types and broken images are found afterwards, the same way for all (``verify.py``), so a reader
leaves ``height_px``, ``width_px`` and ``dtype`` of its fields at 0 and ``""``.

Another package adds a layout with one line in its entry points, group ``nucbatch.readers``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nucbatch.core.plate import READ_TIMEOUT_S, Plate
from nucbatch.readers.listing import Listing


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What a user said about the input. Empty and None mean: find out.

    ``layout``: a reader's name. ``pattern``: a regex with named groups. ``pixel_size_um``: overrides files.
    ``acquisition``: of a plate that was imaged several times, the one that is read.
    ``read_timeout_s``: how long a side file or header may take. ``root``: the folder that holds the images
    which a manifest names.
    """

    layout: str = ""
    pattern: str = ""
    pixel_size_um: float | None = None
    read_timeout_s: float = READ_TIMEOUT_S
    acquisition: str = ""
    root: Path | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """A small tree of files.

    ``files``: path → content; None is a small image, inside a ``.zarr`` an image's group. ``given``: the path
    that a user gives, relative to the tree.
    """

    files: Mapping[str, bytes | None]
    given: str = "."


class Reader(Protocol):
    """One vendor layout.

    ``priority``: readers are asked in ascending order, the first that recognises the listing reads it.
    ``example``: a small tree of this layout, on which the contract tests run.
    """

    name: str
    priority: int
    example: Example

    def recognise(self, listing: Listing) -> bool:
        """Whether names and folders look like this layout. Opens no file."""
        ...

    def read(self, listing: Listing, options: ReadOptions) -> Plate:
        """The plate in the listing, every listed file accounted for once.

        Raises:
            InputError: the listing can't be read this way; the message says what would help.
        """
        ...
