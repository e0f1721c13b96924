"""A mask where labels are meant: seen before the object figures mislead.

Decided here: a side is masks if no image of it has more than one label, and in at least one image that label
is 255 or lies in pieces that don't touch. One nucleus per image, labelled 1, is no reason to warn.
"""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np
import numpy.typing as npt

_MASK = 255


@dataclass(slots=True)
class BinaryCheck:
    """Looks at one side's images, one after another; ``role`` is what messages call the side."""

    role: str
    _labelled: bool = False
    _masks: int = 0

    def look(self, labels: npt.NDArray[np.generic]) -> None:
        """Takes one image (Y, X); one that isn't of integers is for others to refuse."""
        if self._labelled or labels.ndim != 2 or labels.dtype.kind not in "iu" or not labels.any():
            return
        highest = labels.max()
        only = labels == highest
        if np.count_nonzero(only) < np.count_nonzero(labels):
            self._labelled = True
        elif highest == _MASK or cc3d.connected_components(only.view(np.uint8), connectivity=8).max() > 1:
            self._masks += 1

    def warning(self) -> str:
        """A sentence for the user; empty if the side has labels."""
        if self._labelled or not self._masks:
            return ""
        return (
            f"The {self.role} looks like masks, not labels: no image has more than one label, so all its "
            "nuclei count as one. Pixel figures hold; those of nuclei don't. Number the nuclei of each image."
        )
