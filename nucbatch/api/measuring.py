"""``nucbatch.measure``: measures the objects of label images in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from nucbatch.core.errors import InputError
from nucbatch.core.measure_settings import features_asked, ring_asked
from nucbatch.core.micrometres import twins
from nucbatch.core.settings import validated
from nucbatch.features.measure import measure as measure_window


def measure(
    labels: Any,
    image: Any = None,
    channels: str | Sequence[str] = (),
    *,
    ring: str | None = None,
    features: str = "",
    pixel_size: float | None = None,
) -> pd.DataFrame:
    """Measures the objects of a label image, with the measurements of a run.

    Args:
        labels: (Y, X) integers; 0 is background, every other value an object. Values may have gaps.
        image: (C, Y, X), or (Y, X) of one channel; None measures shapes alone.
        channels: names of the channels, which end the names of intensity columns.
        ring: ring around each object in which the cytoplasm is measured, such as "1:6" (px) or "0.5um:3um";
            or "none". By default 1 to 6 px in images of several channels.
        features: further measurements, such as "texture,granularity,radial_distribution".
        pixel_size: µm per pixel; lengths and areas are then in micrometres, too.

    Returns:
        One row per object, by ascending label. ``Metadata_ObjectNumber`` is the label.

    Raises:
        InputError: labels, image and channels don't fit one another.

    Examples:
        >>> import nucbatch as nb
        >>> import numpy as np
        >>> labels = np.zeros((40, 40), int)
        >>> labels[4:10, 5:15], labels[20:30, 20:30] = 7, 9
        >>> table = nb.measure(labels, np.full((40, 40), 3.5), "DAPI")
        >>> names = ["Metadata_ObjectNumber", "Nuclei_AreaShape_Area", "Nuclei_Intensity_MeanIntensity_DAPI"]
        >>> table[names].values.tolist()
        [[7.0, 60.0, 3.5], [9.0, 100.0, 3.5]]
    """
    objects = np.asarray(labels)
    if objects.dtype.kind not in "iu" or objects.ndim != 2:
        raise InputError(
            f"labels of shape {objects.shape} and type {objects.dtype} can't be measured: they must be "
            "(Y, X) integers."
        )
    if objects.size and objects.min() < 0:
        raise InputError(f"labels have negative values ({objects.min()}): objects are numbered from 1.")
    names = (channels,) if isinstance(channels, str) else tuple(channels)
    pixels = np.zeros((0, *objects.shape), np.uint8) if image is None else np.asarray(image)
    pixels = pixels[np.newaxis] if pixels.ndim == 2 else pixels
    numbers = np.unique(objects)
    numbers = numbers[numbers != 0]
    compact = np.where(objects != 0, np.searchsorted(numbers, objects) + 1, 0).astype(np.uint32)
    asked = {"ring": ring_asked(ring), "features": features_asked(features)}
    settings = validated({"measure": asked, "pixel_size_um": pixel_size}).measure
    table = pd.DataFrame(measure_window(compact, pixels, names, settings=settings, pixel_size_um=pixel_size))
    if pixel_size is not None:
        for name, (twin, power) in twins(table.columns).items():
            table.insert(list(table).index(name) + 1, twin, table[name] * pixel_size**power)
    table.insert(0, "Metadata_ObjectNumber", numbers.astype(np.int64))
    return table
