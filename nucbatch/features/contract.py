"""The interface of a family of measurements, which computes columns from objects and pixels.

Families are found by entry points of the group ``nucbatch.features``; other packages can add their own. A
measurement may depend on each object's own pixels (and on their surroundings, if it says so), but not on the
window in which the object was seen, nor on the order of other objects.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from nucbatch.core.measure_settings import MeasureSettings
from nucbatch.features.measured_objects import Objects

Columns = dict[str, npt.NDArray[np.int64] | npt.NDArray[np.float64] | npt.NDArray[np.bool_]]


@runtime_checkable
class Family(Protocol):
    """One family of measurements; constructed without arguments.

    Columns are named as CellProfiler names them: the part of the cell (``Nuclei`` or ``Cytoplasm``), the kind
    of measurement, which is ``name`` for most, the measurement and the channel. Facts about where a
    nucleus lies, not what it is like, begin with ``Metadata_Nuclei_``, so nothing takes them for features.
    Families run in alphabetical order of their names, and their columns have the same order.
    """

    name: str

    def margin_px(self, settings: MeasureSettings, pixel_size_um: float | None) -> int:
        """How far around an object labels and pixels must be known to measure it; 0 for its own pixels.

        Args:
            settings: what is measured.
            pixel_size_um: of the image; None if unknown.
        """
        ...

    def measure(self, objects: Objects, image: npt.NDArray[Any], channels: tuple[str, ...]) -> Columns:
        """Columns (N,) int64 or float64, metadata also bool; names and dtypes are the same for every image.

        Without objects (N = 0) they are the same too.

        Args:
            objects: the label image (Y, X), its objects' areas and boxes, their edges and rings.
            image: (C, Y, X), integer or float, as read, without normalisation. C may be 0.
            channels: names of the C channels.
        """
        ...
