"""Interface of plate layouts (:class:`Reader`).

A reader decides from a :class:`Listing` alone whether it supports the layout, and gives each listed file
exactly one :class:`~nucbatch.core.plate.FileRecord`. It parses names and side files and decodes no pixels.
Sizes, pixel types and damaged images are determined later, in the same way for all layouts
(``verify_headers.py``). A reader therefore leaves ``height_px``, ``width_px`` and ``dtype`` of its fields at
0 and ``""``.

Another package adds a layout with one line in its entry points, group ``nucbatch.readers``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nucbatch.core.errors import InputError
from nucbatch.core.plate import Plate
from nucbatch.readers.listing import Listing


class NotThisLayout(InputError):
    """A reader declines a listing that it recognised by names, after a look into the files.

    Only for layouts whose names say too little, such as ``*.ome.tif``. The message completes the sentence
    for a user who chose the layout.
    """


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """The user's options for an input; empty and None mean automatic.

    Attributes:
        layout: name of a reader.
        pattern: regex with named groups.
        pixel_size_um: overrides the files' metadata.
        acquisition: acquisition to read of a plate with several.
        root: folder of the images named by a manifest.
        z_steps: keep the z-steps of a channel that has a projection too, and ignore the projection.
        plate_name: plate to read of a manifest that names several.
    """

    layout: str = ""
    pattern: str = ""
    pixel_size_um: float | None = None
    acquisition: str = ""
    root: Path | None = None
    z_steps: bool = False
    plate_name: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """Small tree of files for the contract tests.

    Attributes:
        files: content by path; None is a small image, inside a ``.zarr`` an image group.
        given: path that a user gives, relative to the tree.
    """

    files: Mapping[str, bytes | None]
    given: str = "."


class Reader(Protocol):
    """Reader of one layout.

    Attributes:
        name: for ``--layout``.
        priority: readers are tried in ascending order; the first that recognises the listing reads it.
        example: small tree of this layout, for the contract tests.
    """

    name: str
    priority: int
    example: Example

    def recognise(self, listing: Listing) -> bool:
        """Returns whether names and folders match this layout. Opens no file."""
        ...

    def read(self, listing: Listing, options: ReadOptions) -> Plate:
        """Returns the plate in the listing, with every listed file recorded once.

        Raises:
            NotThisLayout: names match, but the metadata inside the files describe no such layout. The next
                reader is tried; if the user chose this one, the message is shown.
            InputError: the listing cannot be read this way; the message says what would help.
        """
        ...
