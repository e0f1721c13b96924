"""Selects the images of an OME-Zarr plate's wells that are sites: one acquisition, and no derived images.

Several acquisitions image the same field again, so they are never counted together. If a plate has several,
the user must choose one. An image named after another image of its well with a suffix (``0_mip``,
``0_illum_corr``) was derived from it, and counting both would count its nuclei twice.

Source: https://ngff.openmicroscopy.org/0.5/#well-md.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nucbatch.core.errors import InputError
from nucbatch.core.escape import printable
from nucbatch.readers.names import plural
from nucbatch.zarr_format.ome import WellImage

_VERSION = re.compile(r"([0-9]{1,9}(?:t[0-9]{1,9})?)_[A-Za-z].*")


@dataclass(slots=True)
class Sites:
    """Images of a well, sorted into sites and others.

    Attributes:
        names: names of the sites.
        ignored: rule by which an image is left out, by name.
        doubtful: reason why an image cannot be used, by name.
    """

    names: list[str] = field(default_factory=list)
    ignored: dict[str, str] = field(default_factory=dict)
    doubtful: dict[str, str] = field(default_factory=dict)


def chosen_acquisition(
    wells: Mapping[str, Sequence[WellImage]], wanted: str, titles: Mapping[str, str], shown: str
) -> str:
    """Chooses the acquisition to read; empty if the wells record none.

    Args:
        wells: images by the well's path.
        wanted: the user's choice; empty for the only one.
        titles: names of the acquisitions by their numbers, as far as the plate records them.
        shown: name of the input in messages.

    Raises:
        InputError: there are several and none is chosen, or the chosen one does not exist.
    """
    images: dict[str, int] = defaultdict(int)
    places: dict[str, set[str]] = defaultdict(set)
    for well, listed in wells.items():
        for image in listed:
            images[image.acquisition] += 1
            places[image.acquisition].add(well)
    lines = "\n".join(
        f"  {titled(number, titles) if number else 'without a number'}: {plural(images[number], 'image')} in "
        f"{plural(len(places[number]), 'well')}"
        for number in sorted(images, key=_in_order)
    )
    if wanted:
        if wanted not in images:
            available = f" It has:\n{lines}" if set(images) - {""} else " Its wells record none."
            raise InputError(f"{shown} has no acquisition {wanted!r}.{available}")
        return wanted
    if len(images) > 1:
        raise InputError(
            f"{shown} holds {len(images)} acquisitions, which are not counted together: choose one with "
            f"--acquisition.\n{lines}"
        )
    return next(iter(images), "")


def sites_of(images: Sequence[WellImage], acquisition: str) -> Sites:
    """Sorts the images of a well into sites and others."""
    sites = Sites()
    names = [image.path for image in images if image.acquisition == acquisition]
    sites.ignored.update(
        {image.path: "other-acquisition" for image in images if image.acquisition != acquisition}
    )
    versions: dict[str, list[str]] = defaultdict(list)
    for name in names:
        if _is_made_from_another(name, names):
            sites.ignored[name] = "derived-image"
        elif match := _VERSION.fullmatch(name):
            versions[match[1]].append(name)
        else:
            sites.names.append(name)
    for stem, alike in versions.items():
        if len(alike) == 1:
            sites.names += alike
            continue
        reason = (
            f"{', '.join(alike)} are versions of one field, {stem}, which its well does not list: leave one "
            "of them in the well's metadata"
        )
        sites.doubtful.update(dict.fromkeys(alike, reason))
    sites.names.sort(key=names.index)
    return sites


def titled(number: str, titles: Mapping[str, str]) -> str:
    """Formats an acquisition's number with its name, if it has one."""
    return printable(f"{number} ({titles[number]})" if titles.get(number) else number)


def _is_made_from_another(name: str, names: Sequence[str]) -> bool:
    parts = name.split("_")
    return any(parts[end][:1].isalpha() and "_".join(parts[:end]) in names for end in range(1, len(parts)))


def _in_order(number: str) -> tuple[bool, int, str]:
    return not number, int(number) if number.isdecimal() else 0, number
