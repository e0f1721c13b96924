"""Draws images with their true and predicted nuclei, for the pages of ``nucbatch score`` and ``compare``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nucbatch.labels.label_image import LabelImage
    from nucbatch.scoring import ImageScore, ScoreTable
    from nucbatch.scoring.html_page import WorstImage

Pairs = dict[str, "tuple[LabelImage, LabelImage]"]
"""Prediction and truth of each image, by name."""
Reader = Callable[[], Any]


def worst_images(
    table: ScoreTable, pairs: Pairs, images: Mapping[str, Reader], count: int
) -> list[WorstImage]:
    """Drawings of the ``count`` worst images; ``images``: pictures to draw on, where the pairs have none."""
    return [drawn(row, *pairs[row.name], images.get(row.name)) for row in table.worst(count)]


def drawn(row: ImageScore, pred: LabelImage, truth: LabelImage, image: Reader | None = None) -> WorstImage:
    """The drawing of one image's matches.

    Raises:
        InputError: the image can't be shown.
    """
    from nucbatch.core.errors import InputError
    from nucbatch.scoring.backdrop import backdrop
    from nucbatch.scoring.html_page import WorstImage
    from nucbatch.scoring.ignore import leave_out
    from nucbatch.scoring.match_drawing import draw

    left = leave_out(truth.labels(), pred.labels(), truth.ignore() if truth.ignore else None)
    drawing = draw(left.truth, left.pred)
    read = image or pred.image or truth.image
    try:
        below = backdrop(read() if read else None, drawing, left.truth.shape)
    except InputError as error:
        raise InputError(f"the image of {row.name} can't be shown: {error}") from error
    return WorstImage(row, drawing, below, read is not None)
