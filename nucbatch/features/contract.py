"""What a family of measurements is: something with a name that turns objects and pixels into columns.

A family is found by the entry points of the group ``nucbatch.features``; another package can add its own.
What it returns may depend on each object's own pixels (and their surroundings, if it says so) and on
nothing else: not on the window the object came in, not on other objects' order.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from nucbatch.features.objects import Objects

Columns = dict[str, npt.NDArray[np.int64] | npt.NDArray[np.float64]]


@runtime_checkable
class Family(Protocol):
    """One family of measurements; made without arguments.

    ``name`` is the second word of its columns, as in ``Nuclei_AreaShape_Area``; families run, and their
    columns stand, in alphabetical order of it.
    """

    name: str

    def measure(self, objects: Objects, image: npt.NDArray[Any], channels: tuple[str, ...]) -> Columns:
        """Columns (N,) int64 or float64, the same names and dtypes whatever the image, N = 0 included.

        Args:
            objects: the label image (Y, X) and its objects' areas and boxes.
            image: (C, Y, X), integer or float, as read: no normalisation. C may be 0.
            channels: C names.
        """
        ...
