"""Parses Harmony's image names: ``r01c02f03p04-ch5sk1fk1fl1.tiff``, later ``r01c02f03p04-ch05t01.tiff``.

Row, column, field, plane (z), channel and time (``sk``, later ``t``) count from 1. ``fk`` and ``fl`` number
fast kinetics and fluorescence lifetimes, which are not separate images of a plate.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from nucbatch.core.plate_geometry import MOST_COLUMNS, MOST_ROWS, row_letters, well_name

_NAME = re.compile(
    r"r([0-9]{2})c([0-9]{2})f([0-9]{2,9})p([0-9]{2,9})-ch([0-9]{1,9})"
    r"(?:sk([0-9]{1,9})fk[0-9]+fl[0-9]+|t([0-9]{1,9}))\.(?:tiff?|png|jpe?g)",
    re.IGNORECASE,
)
_WELL_FOLDER = re.compile(r"r([0-9]{2})c([0-9]{2})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HarmonyName:
    """Place of an image in a measurement.

    Attributes:
        well: normalised name.
        site: from 1.
        channel: number, from 1.
        z: from 0.
        t: from 0.
    """

    well: str
    site: int
    channel: int
    z: int
    t: int


def parse(name: str) -> HarmonyName | None:
    """Parses a file name without folders; None if it is not Harmony's.

    >>> parse("r03c07f12p01-ch2sk4fk1fl1.tiff")
    HarmonyName(well='C07', site=12, channel=2, z=0, t=3)
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    row, column, site, plane, channel = (int(match[group]) for group in range(1, 6))
    time = int(match[6] or match[7])
    if not (0 < row <= MOST_ROWS and 0 < column <= MOST_COLUMNS and min(site, plane, channel, time) > 0):
        return None
    return HarmonyName(well_name(row_letters(row - 1), column), site, channel, plane - 1, time - 1)


def base_name(path: str) -> str:
    """Returns a path's last part."""
    return path.rpartition("/")[2]


def stem(path: str) -> str:
    """Returns a path's last part without suffix, in lower case; a converted image keeps it."""
    return base_name(path).casefold().rpartition(".")[0]


def measurement_folder(path: str) -> str:
    """Returns the folder of a measurement, above ``Images`` and folders of wells (``r03c07``)."""
    folders = path.split("/")[:-1]
    while folders and _WELL_FOLDER.fullmatch(folders[-1]):
        folders.pop()
    if folders and folders[-1].casefold() == "images":
        folders.pop()
    return "/".join(folders)
