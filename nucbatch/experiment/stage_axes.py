"""How the axes of a stage run in its images, which many files do not record.

A stage's axes may run along the image's or against them, and may be exchanged. So there are eight ways, and
the images tell which is right: only then do overlapping fields show the same nuclei in their common strips.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

from nucbatch.experiment.overlaps import Evidence

_ENOUGH = 20
"""Nuclei in common strips that suffice to tell how the axes run."""


@dataclass(frozen=True, slots=True)
class StageAxes:
    """One of the eight ways.

    Attributes:
        exchanged: the stage's X runs along the columns of the image, and its Y along the rows.
        down: 1 if the axis that runs along the columns grows downwards, -1 if upwards.
        right: 1 if the axis that runs along the rows grows to the right, -1 if to the left.
    """

    exchanged: bool = False
    down: int = 1
    right: int = 1

    def in_image(self, stage_um: tuple[float, float]) -> tuple[float, float]:
        """Returns (y, x) as rows and columns of the image run, of (y, x) as the stage counts.

        >>> StageAxes(down=-1).in_image((5.0, 3.0)), StageAxes(exchanged=True).in_image((5.0, 3.0))
        ((-5.0, 3.0), (3.0, 5.0))
        """
        y, x = reversed(stage_um) if self.exchanged else stage_um
        return self.down * y, self.right * x

    def __str__(self) -> str:
        across, along = ("X", "Y") if self.exchanged else ("Y", "X")
        down, right = "down" if self.down > 0 else "up", "right" if self.right > 0 else "left"
        return f"{across} runs {down} and {along} to the {right}"


ALL_AXES = tuple(
    StageAxes(exchanged, down, right) for exchanged, down, right in product((False, True), (1, -1), (1, -1))
)


def proven_axes(evidence: Mapping[StageAxes, Evidence]) -> StageAxes | None:
    """Returns the way in which most nuclei agree; None if in no way enough of them do.

    Args:
        evidence: of the same wells, for each way that is still possible.
    """
    shares = {
        axes: int(found.paired.sum()) / int(found.nuclei.sum())
        for axes, found in evidence.items()
        if int(found.nuclei.sum()) >= _ENOUGH and found.proves(found)
    }
    return max(shares, key=lambda axes: shares[axes]) if shares else None
