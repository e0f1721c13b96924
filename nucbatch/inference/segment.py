"""One image, from pixels to labels: what a run's task, training's validation and notebooks share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucbatch.inference.normalise import Constants, find_constants, normalise
from nucbatch.inference.predict import Predict, predict_image
from nucbatch.masks.objects import find_nuclei
from nucbatch.settings import NormaliseSettings, ObjectSettings
from nucbatch.tiles import TileGrid


@dataclass(frozen=True, slots=True)
class Segmented:
    """Labels (Y, X) uint32 1..N of an image, and the constants it was normalised with."""

    labels: NDArray[np.uint32]
    constants: Constants


def maps_of(
    image: NDArray[np.generic], constants: Constants, grid: TileGrid, predict: Predict
) -> NDArray[np.uint8]:
    """Maps (outputs, Y, X) uint8 of an image (Y, X) or (Y, X, 3)."""
    return predict_image(normalise(image, constants), grid, predict)


def segment_image(
    image: NDArray[np.generic],
    grid: TileGrid,
    predict: Predict,
    normalisation: NormaliseSettings,
    objects: ObjectSettings,
) -> Segmented:
    """Nuclei of an image (Y, X) or (Y, X, 3), uint8, uint16 or float. A blank image has none."""
    constants = find_constants(image, normalisation)
    if constants.blank:
        return Segmented(np.zeros(image.shape[:2], np.uint32), constants)
    maps = maps_of(image, constants, grid, predict)
    return Segmented(find_nuclei(maps[0], maps[1], objects), constants)
