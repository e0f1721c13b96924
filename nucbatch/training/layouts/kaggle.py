"""Kaggle's ``stage1_train/<id>/{images,masks}/*.png``: one image and one mask file per nucleus.

Masks in ``<id>/ignore/`` are pixels to leave out.

Decisions owned here: masks are numbered in order of their files' names, and where two overlap the later wins;
how many pixels that concerned is counted. An empty ``masks/`` is an image without nuclei.
Source of the layout: https://www.kaggle.com/c/data-science-bowl-2018/data
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nucbatch.core.errors import InputError
from nucbatch.readers.pixels import read_image
from nucbatch.training.layouts.contract import Findings, Found, Pixels, ignored, one_channel, paired, some
from nucbatch.training.layouts.files import IGNORE, LABEL_SUFFIXES, pictures

STAGE = "stage1_train"


@dataclass(frozen=True, slots=True)
class MaskFolder:
    """An image file and the folder with a mask file for each of its nuclei."""

    image: Path
    masks: Path

    @property
    def ignore(self) -> Path:
        """The folder of masks of ignored pixels, which need not exist."""
        return self.masks.with_name(IGNORE)

    def read(self) -> Pixels:
        """The image, and its masks merged to labels."""
        image = read_image(self.image)
        labels = np.zeros(image.shape[:2], np.uint32)
        overlap_px = 0
        for number, path in enumerate(pictures(self.masks, LABEL_SUFFIXES), start=1):
            mask = one_channel(read_image(path))
            if mask.shape != labels.shape:
                raise InputError(f"{path}: a mask of shape {mask.shape}; its image has {labels.shape}")
            inside = mask > mask.max(initial=0) / 2  # 0/1 and 0/255 alike
            overlap_px += int(np.count_nonzero(labels[inside]))
            labels[inside] = number
        pixels = paired(image, labels, str(self.masks), overlap_px)
        out = [
            ignored(read_image(path), labels.shape, str(path))
            for path in (pictures(self.ignore, LABEL_SUFFIXES) if self.ignore.is_dir() else ())
        ]
        return replace(pixels, ignore=np.logical_or.reduce(out)) if out else pixels


def find_kaggle(folder: Path) -> Findings | None:
    """The images of ``stage1_train`` or of the folder that holds it; None if there are no such."""
    root = folder / STAGE if (folder / STAGE).is_dir() else folder
    children = sorted(child for child in root.iterdir() if child.is_dir() and not child.name.startswith("."))
    if not any((child / "images").is_dir() and (child / "masks").is_dir() for child in children):
        return None
    found, lacking = [], []
    for child in children:
        parts = (child / "images", child / "masks")
        images = pictures(parts[0]) if all(part.is_dir() for part in parts) else []
        if len(images) == 1:
            found.append(Found(child.name, MaskFolder(images[0], parts[1])))
        else:
            lacking.append(child.name)
    problems = []
    if lacking:
        problems.append(
            f"{len(lacking)} folders in {root} have not images/ with one image and masks/: {some(lacking)}."
        )
    return Findings(root, tuple(found), tuple(problems))
