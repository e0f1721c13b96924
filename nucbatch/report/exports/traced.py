"""The outlines of a field's nuclei, in order; of a large image in parts, so that memory is bounded.

The table of a large image tells where its nuclei lie. It is read in row groups, and the nuclei of each are
traced block by block, in a window that holds all of them whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nucbatch.core.tiles import Box
from nucbatch.masks.outlines import Outline, outlines_of
from nucbatch.report.exports.run_fields import Masks, is_large, read, whole
from nucbatch.store.fragments import read_columns

_BLOCK_PX = 2048
_LARGEST_WINDOW_PX = 2 * _BLOCK_PX
_LABEL = "Metadata_ObjectNumber"
_BOX = tuple(f"Metadata_Nuclei_BoundingBox{end}_{axis}" for end in ("Minimum", "Maximum") for axis in "YX")


def traced(masks: Masks, table: Path) -> Iterator[Outline]:
    """Yields the outlines of a field's objects.

    Args:
        masks: the field's labels.
        table: the field's table fragment, which is read for large images.

    Raises:
        DamagedFile: the table can't be read. StoreError: the masks can't be read.
    """
    if not is_large(masks):
        yield from outlines_of(whole(masks))
        return
    for columns in read_columns(table, (_LABEL, *_BOX)):
        boxes = np.stack([columns[name] for name in _BOX], axis=1).astype(np.int64)
        yield from _in_blocks(masks, columns[_LABEL].astype(np.int64), boxes)


def _in_blocks(
    masks: Masks, labels: npt.NDArray[np.int64], boxes: npt.NDArray[np.int64]
) -> Iterator[Outline]:
    """Yields the outlines of these labels (N,), whose boxes (N, 4) are y0, x0, y1, x1, in their order."""
    place = boxes[:, :2] // _BLOCK_PX
    found: dict[int, Outline] = {}
    for block in np.unique(place, axis=0):
        here = np.flatnonzero((place == block).all(axis=1))
        window = _around(boxes[here])
        if max(window.shape) > _LARGEST_WINDOW_PX:  # a large object among them: each by itself
            for index in here:
                found |= _of(masks, labels[[index]], _around(boxes[[index]]))
        else:
            found |= _of(masks, labels[here], window)
    for label in labels.tolist():
        if label in found:
            yield found[label]


def _around(boxes: npt.NDArray[np.int64]) -> Box:
    return Box(*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist())


def _of(masks: Masks, labels: npt.NDArray[np.int64], window: Box) -> dict[int, Outline]:
    pixels = read(masks, window)
    own = np.where(np.isin(pixels, labels), pixels, 0)
    return {one.label: one for one in outlines_of(own, (window.y0, window.x0))}
