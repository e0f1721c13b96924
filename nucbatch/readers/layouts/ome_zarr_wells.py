"""Which images of an OME-Zarr plate's wells are sites: of one acquisition, and not made from another.

Two acquisitions image the same field again, so their images are never pooled: where a plate holds several,
the user names one. An image called after another of its well with a word behind (``0_mip``, ``0_illum_corr``)
was made from that one, and counting both would count its nuclei twice. Source:
https://ngff.openmicroscopy.org/0.5/#well-md.
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
    """A well's images by fate: names of sites, names left out by which rule, and names that are in doubt."""

    names: list[str] = field(default_factory=list)
    ignored: dict[str, str] = field(default_factory=dict)
    doubtful: dict[str, str] = field(default_factory=dict)


def chosen_acquisition(
    wells: Mapping[str, Sequence[WellImage]], wanted: str, titles: Mapping[str, str], shown: str
) -> str:
    """The acquisition whose images are read; empty where the wells tell of none.

    Args:
        wells: the images by the well's path.
        wanted: as the user asks for it; empty for the only one.
        titles: the acquisitions' names by their numbers, where the plate tells them.
        shown: the input's name in messages.

    Raises:
        InputError: there are several and none is asked for, or there is none as asked for.
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
            told = f" It has:\n{lines}" if set(images) - {""} else " Its wells tell of none."
            raise InputError(f"{shown} has no acquisition {wanted!r}.{told}")
        return wanted
    if len(images) > 1:
        raise InputError(
            f"{shown} holds {len(images)} acquisitions, which are not counted together: choose one with "
            f"--acquisition.\n{lines}"
        )
    return next(iter(images), "")


def sites_of(images: Sequence[WellImage], acquisition: str) -> Sites:
    """What becomes of each image of a well."""
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
    """An acquisition's number, with its name where there is one."""
    return printable(f"{number} ({titles[number]})" if titles.get(number) else number)


def _is_made_from_another(name: str, names: Sequence[str]) -> bool:
    parts = name.split("_")
    return any(parts[end][:1].isalpha() and "_".join(parts[:end]) in names for end in range(1, len(parts)))


def _in_order(number: str) -> tuple[bool, int, str]:
    return not number, int(number) if number.isdecimal() else 0, number
