"""Kaggle's layout of the 2018 Data Science Bowl: ``stage1_train/<id>/{images,masks}/*.png``.

``images/`` holds one image, ``masks/`` one file per nucleus, and ``ignore/``, if there is one, masks of
pixels to leave out. An empty ``masks/`` is an image without nuclei.

Masks are numbered 1..N in the order of their file names. Where masks overlap, the later one takes the pixels,
and the pixels in dispute are counted. Each mask must keep at least one pixel. An empty mask, or one that
later masks cover wholly, is refused with its name, in training as in scoring: leaving it out would change the
number of nuclei.

Source of the layout: https://www.kaggle.com/c/data-science-bowl-2018/data
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import InputError
from nucbatch.labels.label_files import IGNORE, LABEL_SUFFIXES, pictures, read_ignored, read_label_image
from nucbatch.labels.sources import Findings, LabelledImage, Pixels, one_channel, paired, some
from nucbatch.readers.pixels import probe, read_image

STAGE = "stage1_train"


@dataclass(frozen=True, slots=True)
class MaskFolder:
    """One image of the layout: its folder ``<id>``, and its image file where there is one."""

    folder: Path
    image: Path | None

    @property
    def masks(self) -> list[Path]:
        """The mask files, one for each nucleus, in order of name."""
        return _masks(self.folder / "masks")

    @property
    def ignore(self) -> list[Path]:
        """The masks of pixels to leave out; usually there are none."""
        return _masks(self.folder / IGNORE)

    def read(self) -> Pixels:
        """Image, labels and the pixels to leave out.

        Raises:
            InputError: there is no image, or a mask doesn't fit it or keeps no pixel.
            UnreadableImage: a file can't be read.
        """
        image = self.read_image()
        labels, overlap_px = merge_masks(self._each_mask(), image.shape[:2])
        pixels = paired(image, labels, str(self.folder / "masks"), overlap_px)
        return replace(pixels, ignore=self.read_ignore()) if self.ignore else pixels

    def read_image(self) -> NDArray[Any]:
        """The image (Y, X) or (Y, X, 3).

        Raises:
            InputError: there is none.
            UnreadableImage: it can't be read.
        """
        if self.image is None:
            raise InputError(f"{self.folder} has no image in images/.")
        return read_image(self.image)

    def read_labels(self) -> NDArray[np.uint32]:
        """Labels (Y, X) uint32 of all masks. The size is the image's, or the masks' if there is no image.

        Raises:
            InputError: see :func:`merge_masks`.
            UnreadableImage: a file can't be read.
        """
        shape = None
        if self.image is not None:
            header = probe(self.image)
            shape = header.height_px, header.width_px
        return merge_masks(self._each_mask(), shape)[0]

    def read_ignore(self) -> NDArray[np.bool_]:
        """Where any of the masks in ``ignore/``, of which there must be one, is not 0: (Y, X).

        Raises:
            InputError: they differ in size, or are no masks.
            UnreadableImage: one can't be read.
        """
        return read_ignored(self.ignore)

    def _each_mask(self) -> Iterable[tuple[str, NDArray[Any]]]:
        return ((str(path), read_label_image(path)) for path in self.masks)


def find_kaggle(folder: Path, *, need_images: bool = True) -> Findings | None:
    """The images in a folder ``stage1_train`` or in its parent folder; None if it has another layout.

    ``need_images``: whether an ``<id>`` without an image is a problem; labels alone can be scored without.
    """
    parts = ("images", "masks") if need_images else ("masks",)
    for root in (folder / STAGE, folder):
        children = [child for child in _folders(root) if not child.name.startswith(".")]
        if any(all((child / part).is_dir() for part in parts) for child in children):
            break
    else:
        return None
    found, problems = [], []
    lacking: list[str] = []
    for child in children:
        images = pictures(child / "images") if (child / "images").is_dir() else []
        if not (child / "masks").is_dir() or len(images) > 1 or (need_images and not images):
            lacking.append(child.name)
            continue
        source = MaskFolder(child, images[0] if images else None)
        if not (images or source.masks):
            problems.append(f"{child} has neither a mask nor an image, so its size is not known.")
            continue
        found.append(LabelledImage(child.name, source))
    if lacking:
        fault = (
            "have not one image in images/ and a folder masks/"
            if need_images
            else "have no folder masks/, or several images in images/"
        )
        problems.append(f"{len(lacking)} folders in {root} {fault}: {some(lacking)}.")
    return Findings(root, tuple(found), tuple(problems))


def merge_masks(
    masks: Iterable[tuple[str, NDArray[Any]]], shape: tuple[int, int] | None = None
) -> tuple[NDArray[np.uint32], int]:
    """Labels (Y, X) of masks in order, and how many pixels earlier masks lost to later ones.

    Args:
        masks: for each nucleus a name for messages and a mask (Y, X), or (Y, X, S) of equal channels. Pixels
            above half the mask's highest value are inside, so 0/1 and 0/255 mean the same.
        shape: (Y, X) of the image, None if it is not known.

    Raises:
        InputError: a mask has another size or several channels; it has no pixel inside, or later masks cover
            all of them; there is neither a mask nor a shape.
    """
    names: list[str] = []
    labels = None if shape is None else np.zeros(shape, np.uint32)
    overlap_px = 0
    for number, (name, picture) in enumerate(masks, start=1):
        mask = one_channel(picture)
        if labels is None and mask.ndim == 2:
            labels = np.zeros(mask.shape, np.uint32)
        if labels is None or mask.shape != labels.shape:
            needed = "masks have one channel" if labels is None else f"its image has {labels.shape}"
            raise InputError(f"{name}: a mask of shape {mask.shape}; {needed}.")
        inside = mask > mask.max(initial=0) / 2
        overlap_px += int(np.count_nonzero(labels[inside]))
        labels[inside] = number
        names.append(name)
    if labels is None:
        raise InputError("an image without masks and without pixels has no size.")
    left = np.bincount(labels.ravel(), minlength=len(names) + 1)[1:]
    lost = [name for name, area in zip(names, left, strict=True) if area == 0]
    if lost:
        raise InputError(
            f"{some(lost, 5)}: the mask is empty, or later masks cover it wholly. Each mask must show one "
            "nucleus: remove the mask, or correct it."
        )
    return labels, overlap_px


def _folders(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir()) if folder.is_dir() else []


def _masks(folder: Path) -> list[Path]:
    return pictures(folder, LABEL_SUFFIXES) if folder.is_dir() else []
