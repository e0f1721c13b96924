"""``nucbatch.score``: scores masks against ground truth."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from nucbatch.core.errors import InputError
from nucbatch.labels.label_image import picture_of
from nucbatch.labels.pairing import pair_sides
from nucbatch.labels.sides import ignoring, open_side_at
from nucbatch.object_store import as_path, disk_path
from nucbatch.scoring import ScoreTable, score_image, score_images


class Scores(NamedTuple):
    """Scores of images.

    Attributes:
        images: one row per image, by name.
        totals: rows "pooled" (every nucleus has the same weight), "averaged" and "median" (every image has).
    """

    images: pd.DataFrame
    totals: pd.DataFrame


def score(pred: Any, gt: Any, *, ignore: str | Path | None = None, count_ignored: bool = False) -> Scores:
    """Scores predicted masks against true ones.

    Args:
        pred: labels (Y, X), 0 is background; or the path of a run's folder, of an OME-Zarr, of a folder of
            label images, or of a data set; or the address of a run or an OME-Zarr in a store.
        gt: the true labels: an array where ``pred`` is one, else such a path. Images are paired by name.
        ignore: folder of masks, paired by name; pixels that are not 0 in them are left out. None: ``ignore/``
            beside the true labels, if there is one.
        count_ignored: whether to score also pixels that are marked to be ignored.

    Raises:
        InputError, InputNotFound: the images can't be found, paired or scored.

    Examples:
        >>> import nucbatch as nb
        >>> import numpy as np
        >>> truth = np.zeros((40, 40), int)
        >>> truth[4:10, 5:15], truth[20:30, 20:30] = 1, 2
        >>> figures = nb.score(np.where(truth == 2, 2, 0), truth).totals.loc["pooled"]
        >>> figures["object_f1_50"].round(3), figures["nuclei_truth"]
        (np.float64(0.667), np.float64(2.0))
    """
    if ignore is not None and count_ignored:
        raise InputError("ignore and count_ignored contradict each other: give one.")
    if isinstance(pred, str | Path) != isinstance(gt, str | Path):
        raise InputError("pred and gt must both be arrays, or both be paths.")
    if not isinstance(pred, str | Path):
        if ignore is not None:
            raise InputError("ignore is for paths: set ignored pixels of arrays to 0 in both.")
        return _tables(ScoreTable((score_image("image", np.asarray(gt), np.asarray(pred)),)))
    with ExitStack() as opened:
        true = open_side_at(as_path(gt), opened)
        if ignore is not None:
            true = ignoring(true, disk_path(ignore))
        elif count_ignored:
            true = [replace(image, ignore=None) for image in true]
        pairs = pair_sides(open_side_at(as_path(pred), opened), true)
        return _tables(
            score_images(
                (
                    name,
                    truth.labels(),
                    found.labels(),
                    truth.ignore() if truth.ignore else None,
                    picture_of(truth, found),
                )
                for name, (found, truth) in pairs.items()
            )
        )


def _tables(table: ScoreTable) -> Scores:
    return Scores(
        pd.DataFrame.from_records(table.records(), index="name"),
        pd.DataFrame.from_dict(table.totals(), orient="index"),
    )
