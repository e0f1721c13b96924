"""Pairs of image and label files, and the picture files in a folder by stem."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import InputError, InputNotFound
from nucbatch.labels.sources import Pixels, ignored, paired
from nucbatch.readers.formats.headers import LABEL_DTYPES
from nucbatch.readers.pixels import read_image

LABEL_SUFFIXES = (".png", ".tif", ".tiff")
"""Formats that keep labels exactly; JPEG does not."""
IMAGE_SUFFIXES = (*LABEL_SUFFIXES, ".jpg", ".jpeg")
LABEL_ENDINGS = ("_cp_masks", "_masks", "_mask", "_labels", "_label", "_seg")
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
        """Image, labels and ignored pixels.

        Raises:
            InputError: image, labels and ignored pixels don't fit one another, or the labels are no labels.
            UnreadableImage: a file can't be read.
        """
        pixels = paired(self.read_image(), self.read_labels(), str(self.labels))
        if self.ignore is None:
            return pixels
        return replace(
            pixels,
            ignore=ignored(read_label_image(self.ignore), pixels.labels.shape, str(self.ignore)),
        )

    def read_image(self) -> NDArray[Any]:
        """The image (Y, X) or (Y, X, 3) as stored."""
        return read_image(self.image)

    def read_labels(self) -> NDArray[Any]:
        """The label file's pixels as stored; they are not checked to be labels."""
        return read_label_image(self.labels)

    def read_ignore(self) -> NDArray[np.bool_]:
        """Where the mask of ignored pixels, of which there must be one, is not 0: (Y, X)."""
        return read_ignored([] if self.ignore is None else [self.ignore])


def read_label_image(path: Path) -> NDArray[Any]:
    """Reads a picture of labels, or of a mask, in the file's pixel type, which may have 64 bits.

    Raises:
        UnreadableImage: it can't be read.
    """
    return read_image(path, LABEL_DTYPES)


def read_ignored(paths: Sequence[Path]) -> NDArray[np.bool_]:
    """Where any of these masks, at least one, is not 0: (Y, X).

    Raises:
        InputError: they differ in size, or are no masks.
        UnreadableImage: one can't be read.
    """
    masks = [(path, read_label_image(path)) for path in paths]
    shape = masks[0][1].shape[:2]
    return np.asarray(np.any([ignored(mask, shape, str(path)) for path, mask in masks], axis=0))


def label_files(folder: Path) -> dict[str, Path]:
    """The label images right in a folder by stem (``a.ome.tif`` is ``a``), in the order of their names.

    If there are none, those in its sub-folders are taken, with the sub-folder in the name: ``day1/a``. Only
    PNG and TIFF files count; hidden files don't.

    Raises:
        InputNotFound: there is no such folder.
        InputError: it holds no label image, or two of one stem.
    """
    if not folder.exists():
        raise InputNotFound(f"{folder} does not exist: name a folder of label images, or a run's folder.")
    if not folder.is_dir():
        raise InputError(f"{folder} is a file: name the folder that holds the label images.")
    files: dict[str, Path] = {}
    for path in pictures(folder, LABEL_SUFFIXES) or pictures_below(folder, LABEL_SUFFIXES):
        stem = (path.parent.relative_to(folder) / stem_of(path)).as_posix()
        if stem in files:
            raise InputError(
                f"{folder} has {files[stem].name} and {path.name}: images are paired by stem, so each stem "
                "may occur once. Remove one."
            )
        files[stem] = path
    if not files:
        raise InputError(f"{folder} has no label images: it must hold {', '.join(LABEL_SUFFIXES)} files.")
    return files


def pictures(folder: Path, suffixes: Iterable[str] = IMAGE_SUFFIXES) -> list[Path]:
    """The picture files right in a folder, by name. Hidden files (``._a.png``) are left out."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
    )


def pictures_below(
    folder: Path, suffixes: Iterable[str] = IMAGE_SUFFIXES, above: tuple[Path, ...] = ()
) -> list[Path]:
    """The picture files of a folder and its sub-folders.

    Hidden ones and links back to ``above`` are skipped.
    """
    above = (*above, folder.resolve())
    within = [
        child
        for child in sorted(folder.iterdir())
        if child.is_dir() and not child.name.startswith(".") and child.resolve() not in above
    ]
    return [
        *pictures(folder, suffixes),
        *(path for child in within for path in pictures_below(child, suffixes, above)),
    ]


def stem_of(path: Path, endings: Iterable[str] = ()) -> str:
    """A file's name without ``.png``, ``.ome.tif`` and the first of the endings that it has."""
    stem = path.stem.removesuffix(".ome")
    for ending in endings:
        if stem.endswith(ending):
            return stem.removesuffix(ending)
    return stem
