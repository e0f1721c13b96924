"""Recognises the layout of a folder of labelled images; the first layout that fits is taken."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from nucbatch.core.errors import InputError
from nucbatch.labels.beside import find_beside
from nucbatch.labels.drawn_files import FORMATS
from nucbatch.labels.drawn_pairs import find_drawn
from nucbatch.labels.kaggle import find_kaggle
from nucbatch.labels.paired_folders import find_folders
from nucbatch.labels.sources import Findings, some
from nucbatch.labels.zarr_pairs import find_omezarr

LAYOUTS = (
    "images/ and labels/ (or masks/) with files of the same stem, perhaps in sub-folders or inside train/, "
    "val/ and test/, and perhaps ignore/ with masks of pixels to leave out",
    "stage1_train/<id>/images and masks, as Kaggle has it",
    "a.png beside a_mask.png",
    "OME-Zarr with labels, or a run's folder",
    f"images with annotation files beside them, or in labels/ or annotations/: {FORMATS}",
)


def recognise(folder: Path, channel: str = "") -> Findings:
    """The labelled images in a folder.

    ``channel`` names the channel to learn from, in an OME-Zarr of several.

    Raises:
        InputError: the folder has no known layout.
    """
    finders: tuple[Callable[[Path], Findings | None], ...] = (
        find_drawn,
        find_folders,
        find_kaggle,
        partial(find_omezarr, channel=channel),
        find_beside,
    )
    for find in finders:
        findings = find(folder)
        if findings is not None:
            return findings
    names = sorted(child.name for child in folder.iterdir() if not child.name.startswith("."))
    raise InputError(
        f"{folder} has no labelled images in a known layout. It holds "
        f"{some(names, 5) or 'nothing'}. Known layouts:\n" + "\n".join(f"  {layout}" for layout in LAYOUTS)
    )
