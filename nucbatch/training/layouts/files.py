"""An image in one file and its labels in another, and which files of a folder are pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from nucbatch.readers.pixels import read_image
from nucbatch.training.layouts.contract import Pixels, ignored, paired

LABEL_SUFFIXES = (".png", ".tif", ".tiff")
"""Formats that keep labels exactly; JPEG does not."""
IMAGE_SUFFIXES = (*LABEL_SUFFIXES, ".jpg", ".jpeg")
LABEL_ENDINGS = ("_masks", "_mask", "_labels", "_label")
IGNORE = "ignore"
"""The folder of masks of pixels to leave out, beside the folder of labels."""
IGNORE_ENDINGS = ("_ignore", *LABEL_ENDINGS)
IMAGE_ENDINGS = ("_image", "_img")


@dataclass(frozen=True, slots=True)
class FilePair:
    """An image file, the file of its labels and perhaps one of the pixels to ignore (not 0 there)."""

    image: Path
    labels: Path
    ignore: Path | None = None

    def read(self) -> Pixels:
        """Image, labels and ignored pixels as their files have them."""
        pixels = paired(read_image(self.image), read_image(self.labels), str(self.labels))
        if self.ignore is None:
            return pixels
        mask = ignored(read_image(self.ignore), pixels.labels.shape, str(self.ignore))
        return replace(pixels, ignore=mask)


def pictures(folder: Path, suffixes: Iterable[str] = IMAGE_SUFFIXES) -> list[Path]:
    """The pictures right in a folder, by name; hidden files (``._a.png``) are none."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
    )


def stem_of(path: Path, endings: Iterable[str] = ()) -> str:
    """A file's name without ``.png``, ``.ome.tif`` and the first of the endings that it has."""
    stem = path.stem.removesuffix(".ome")
    for ending in endings:
        if stem.endswith(ending):
            return stem.removesuffix(ending)
    return stem
