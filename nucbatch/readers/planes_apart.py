"""Notices planes of one field that lie at different places on the stage.

Channels that were recorded at other places (a chromatic correction, fields in another order, two scans) do
not show the same nuclei: the measures of one channel are then read beside the nuclei of the other.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from nucbatch.readers.names import plural

_MOST_UM = 3.0
"""Stages return to a place within about a micrometre; a nucleus is 10 µm wide."""


def apart_um(places_um: Collection[tuple[float, float]]) -> float:
    """Returns the greatest distance of places (y, x) from the first; 0 if it is less than 3 µm.

    >>> apart_um([(0.0, 0.0), (0.0, 1.0)]), apart_um([(0.0, 0.0), (3.0, 4.0)])
    (0.0, 5.0)
    """
    places = list(places_um)
    farthest = max((math.dist(places[0], place) for place in places), default=0.0)
    return farthest if farthest >= _MOST_UM else 0.0


def apart_remark(distances_um: Sequence[float], source: str) -> str:
    """Returns the sentence for the user about fields whose planes lie apart.

    Args:
        distances_um: distance in each of these fields.
        source: what gives the places.
    """
    return (
        f"The planes of {plural(len(distances_um), 'field')} lie up to {max(distances_um):,.1f} µm apart by "
        f"{source}. The first one's place is taken for all: measures of the other channels are not those of "
        "the same nuclei unless the images were aligned."
    )
