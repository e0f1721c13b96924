"""One mask file per nucleus, as Kaggle's Data Science Bowl ships its truth: found, and made into labels.

Decided here: an image is a folder ``<id>`` with a folder ``masks`` in it, and its nuclei are numbered in the
order of the masks' file names. Where two masks overlap the later wins. A mask of which nothing is left is
refused, because the count of nuclei would be wrong without a word; an empty ``masks`` is an image without
nuclei. Source of the layout: https://www.kaggle.com/c/data-science-bowl-2018/data
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nucbatch.core.errors import InputError
from nucbatch.scoring.pairs import SUFFIXES

TRAIN = "stage1_train"


@dataclass(frozen=True, slots=True)
class MaskFolder:
    """One image of Kaggle's layout: its mask files, and its pixels' file where there is one.

    ``ignore``: the masks of ``<id>/ignore``, which mark pixels to leave out.
    """

    masks: tuple[Path, ...]
    image: Path | None
    ignore: tuple[Path, ...] = ()


def mask_folders(folder: Path) -> dict[str, MaskFolder]:
    """The images of Kaggle's layout by id; none if the folder is laid out in another way.

    The folder is the one that holds ``<id>/masks``, or its parent with ``stage1_train`` in it.

    Raises:
        InputError: an image among others has no ``masks``, or neither masks nor pixels.
    """
    for root in (folder, folder / TRAIN):
        if not any(path.is_dir() for path in root.glob("*/masks")):
            continue
        found: dict[str, MaskFolder] = {}
        for place in sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] != "."):
            if not (place / "masks").is_dir():
                raise InputError(f"{place} has no folder masks, as others beside it have.")
            images = _pictures(place / "images")
            found[place.name] = MaskFolder(
                _pictures(place / "masks"), images[0] if images else None, _pictures(place / "ignore")
            )
            if not (found[place.name].masks or images):
                raise InputError(f"{place} has neither a mask nor an image, so its size is not known.")
        return found
    return {}


def labels_of_masks(
    masks: Iterable[tuple[str, npt.NDArray[np.generic]]], shape: tuple[int, int] | None = None
) -> npt.NDArray[np.int32]:
    """Labels (Y, X) int32 of (name, mask) pairs, each mask (Y, X) or (Y, X, S); bright is nucleus.

    ``shape`` is the image's, where it is known.

    Raises:
        InputError: a mask is of another size, shows nothing, or is wholly covered by later ones.
    """
    names: list[str] = []
    labels = None if shape is None else np.zeros(shape, np.int32)
    for number, (name, picture) in enumerate(masks, start=1):
        plane = picture if picture.ndim == 2 else picture.max(axis=-1)
        if labels is None:
            labels = np.zeros(plane.shape, np.int32)
        if plane.shape != labels.shape:
            raise InputError(f"mask {name} has shape {plane.shape}, its image {labels.shape}.")
        # 0 and 1 as well as 0 and 255.
        labels[plane.astype(np.float32) > float(plane.max(initial=0)) / 2] = number
        names.append(name)
    if labels is None:
        raise InputError("an image without masks and without pixels has no size.")
    left = np.bincount(labels.ravel(), minlength=len(names) + 1)[1:]
    lost = [name for name, area in zip(names, left, strict=True) if area == 0]
    if lost:
        raise InputError(
            f"mask {lost[0]} shows no nucleus, or one that other masks cover: each mask must show one. "
            "Remove it or mend it."
        )
    return labels


def _pictures(folder: Path) -> tuple[Path, ...]:
    """The PNG and TIFF files right in a folder, by name; none where there is no folder."""
    if not folder.is_dir():
        return ()
    return tuple(
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
