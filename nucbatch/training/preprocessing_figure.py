"""Draws the figure of the pre-processing: outlines and filled masks beside and over their images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nucbatch.store.atomic import replacing

WINDOW_PX = 256
OUTLINE = (0.98, 0.60, 0.15)
FILL = (0.20, 0.62, 0.95)


@dataclass(frozen=True, slots=True)
class Shown:
    """One row of the figure.

    ``image`` (3, Y, X) float32 in [0, 1]; ``outlines`` and ``filled`` regions (Y, X) bool.
    """

    caption: str
    image: NDArray[np.float32]
    outlines: NDArray[np.bool_]
    filled: NDArray[np.bool_]


def draw_preprocessing(path: Path, rows: Sequence[Shown]) -> None:
    """Draws image, outlines, filled regions and an overlay, one row per image, as a PNG.

    Of an image larger than WINDOW_PX, the window of WINDOW_PX² with the most nuclei is shown, at full
    resolution.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    titles = ("image", "boundary extraction", "region filling", "drawn over the image")
    figure = Figure(figsize=(2.6 * len(titles), 2.7 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), len(titles), squeeze=False)
    for axes, row in zip(grid, (fullest_window(row) for row in rows), strict=True):
        picture = row.image.transpose(1, 2, 0)
        columns = (picture, row.outlines, row.filled, overlaid(row))
        for axis, shown in zip(axes, columns, strict=True):
            axis.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        axes[0].set_ylabel(row.caption)
    for axis, title in zip(grid[0], titles, strict=True):
        axis.set_title(title, fontsize=10)
    with replacing(path, durable=False) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def fullest_window(row: Shown) -> Shown:
    """The window with the most filled pixels, on a grid of half the window's side."""
    height, width = row.filled.shape
    tops, lefts = (range(0, max(1, side - WINDOW_PX // 2), WINDOW_PX // 2) for side in (height, width))

    def at(top: int, left: int) -> tuple[slice, slice]:
        top, left = min(top, max(0, height - WINDOW_PX)), min(left, max(0, width - WINDOW_PX))
        return slice(top, top + WINDOW_PX), slice(left, left + WINDOW_PX)

    rows, columns = max(
        (at(top, left) for top, left in product(tops, lefts)),
        key=lambda window: int(row.filled[window].sum()),
    )
    return Shown(
        row.caption, row.image[:, rows, columns], row.outlines[rows, columns], row.filled[rows, columns]
    )


def overlaid(row: Shown) -> NDArray[np.float32]:
    """The image (Y, X, 3) with tinted regions and outlines drawn on top."""
    picture = row.image.transpose(1, 2, 0).copy()
    picture[row.filled] = 0.65 * picture[row.filled] + 0.35 * np.array(FILL, np.float32)
    picture[row.outlines] = OUTLINE
    return picture
