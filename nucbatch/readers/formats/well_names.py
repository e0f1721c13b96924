"""Recognises wells in the names of files, positions and scenes, all names of a set together."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nucbatch.core.plate_geometry import plausible_well, split_well

_SAID = re.compile(r"(?:^|[_ .-])Well[ _-]?([A-Z]{1,2}[0-9]{1,2})(?=$|[_ .-])", re.IGNORECASE)
_PADDED = re.compile(r"(?:^|[_ .-])([A-Z][0-9]{2})(?=$|[_ .-])")
_ALONE = re.compile(r"^([A-Z][0-9]{1,2})$")
_OTHER_MEANINGS = frozenset("CFPSTZ")
"""Letters that alone may number channels, fields, positions, series, time points or z-steps."""


def wells_in_names(names: Sequence[str]) -> list[str]:
    """Returns the well in each name; an empty list unless each name has exactly one.

    >>> wells_in_names(["name_A02_0000", "name_B02_0001"]), wells_in_names(["WellB3"])
    (['A02', 'B02'], ['B03'])
    >>> wells_in_names(["P01", "P02"]), wells_in_names(["mouse M1", "mouse M2"])
    ([], [])
    """
    for pattern in (_SAID, _PADDED, _ALONE):
        found = [{plausible_well(text) for text in pattern.findall(name)} - {""} for name in names]
        if not names or any(len(wells) != 1 for wells in found):
            continue
        wells = [min(one) for one in found]
        rows = {split_well(well)[0] for well in wells}
        if pattern is not _SAID and len(rows) == 1 and rows <= _OTHER_MEANINGS:
            return []
        return wells
    return []
