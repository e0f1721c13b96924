"""Draws the picture of the page on comparing models: what each method finds in a drawn field and section.

python docs/pictures/draw_methods.py docs/pictures/methods.png
"""

from __future__ import annotations

import sys

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.draw import ellipse
from skimage.segmentation import find_boundaries

from nucbatch import segment
from nucbatch.synthetic import make_field

SIDE = 220
GLASS, EOSIN, HAEMATOXYLIN = (244, 242, 245), (229, 170, 203), (106, 78, 158)
FIELD = ("default", "otsu-watershed", "kmeans-watershed")
SECTION = ("default", "lab-kmeans-watershed")


def section() -> NDArray[np.uint8]:
    """A drawn section (Y, X, 3) uint8: glass, fibres in eosin, nuclei in haematoxylin."""
    rng = np.random.default_rng(4)
    fibres = gaussian_filter(rng.normal(size=(SIDE, SIDE)), (3, 12))
    share = 1 / (1 + np.exp(-(fibres / fibres.std() + 0.8) * 6))[..., None]
    image = np.array(GLASS) * (1 - share) + np.array(EOSIN) * share
    for row, column in rng.integers(10, SIDE - 10, (34, 2)):
        inside = ellipse(row, column, *rng.uniform(6, 11, 2), (SIDE, SIDE), rng.uniform(0, 3))
        image[inside] = HAEMATOXYLIN
    image = gaussian_filter(image, (1, 1, 0)) + 6 * gaussian_filter(
        rng.normal(size=image.shape), (0.7, 0.7, 0)
    )
    return image.clip(0, 255).astype(np.uint8)


def main(path: str) -> None:
    field = make_field(SIDE, np.random.default_rng(8), nuclei=28, channels=1)[0][0]
    rows = ((field, FIELD), (section(), SECTION))
    figure = Figure(figsize=(9.6, 5.2), layout="constrained")
    axes = figure.subplots(2, 4)
    for line, (image, models) in zip(axes, rows, strict=True):
        for axis in line:
            axis.axis("off")
        shown = image if image.ndim == 3 else np.clip(image / np.percentile(image, 99.8), 0, 1)
        line[0].imshow(shown, cmap="gray")
        line[0].set_title("image", fontsize=9)
        for axis, model in zip(line[1:], models, strict=False):
            labels = segment(image, model=model)
            axis.imshow(shown, cmap="gray")
            edges = np.ma.masked_equal(find_boundaries(labels, mode="inner"), False)
            axis.imshow(edges, cmap="spring" if image.ndim == 2 else "winter", interpolation="nearest")
            axis.set_title(f"{model}: {labels.max()}", fontsize=9)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main(sys.argv[1])
