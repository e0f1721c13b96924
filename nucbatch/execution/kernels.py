"""Importing this loads what is loaded at the first use: compiled kernels, and what pyarrow looks for.

Made for a fork server: nothing here starts a thread of Python's, leaves a file open, or touches a GPU.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from nucbatch.core.settings import MAPS, NormaliseSettings, ObjectSettings
from nucbatch.features.measure import measure
from nucbatch.features.quality import field_quality
from nucbatch.inference.normalise import find_constants, normalise
from nucbatch.masks.objects import find_nuclei

_SIDE_PX = 64


def _use_everything() -> None:
    """Two touching squares with a hole, the whole way but for the network, in both types of cameras."""
    maps = np.zeros((len(MAPS), _SIDE_PX, _SIDE_PX), np.uint8)
    maps[:2, 16:32, 16:48] = 255
    maps[0, 20:22, 20:22] = 0
    maps[2:] = 128
    labels = find_nuclei(maps, ObjectSettings())
    for dtype in (np.uint8, np.uint16):
        image = np.arange(_SIDE_PX**2, dtype=dtype).reshape(_SIDE_PX, _SIDE_PX)
        normalise(image, find_constants(image, NormaliseSettings()))
        for values in measure(labels, image[None], ["DNA"]).values():
            pa.array(values)  # the first one imports pandas
        field_quality(image)


_use_everything()
