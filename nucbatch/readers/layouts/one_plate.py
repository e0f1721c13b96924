"""Tells one plate that is spread over folders from several plates below one input.

A folder belongs inside a plate if its name says which part of it lies there: a well (``B02``), its row or
column, a time point (``TimePoint_1``), a z-step, a site or a channel (``DAPI``). Any other folder tells
plates apart, even where their wells differ. So does text before the well in a name (``PlateA_B02``), unless
each well has its own, as with running numbers or treatments.
"""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from nucbatch.core.errors import InputError
from nucbatch.core.escape import printable
from nucbatch.core.plate_geometry import plausible_well, split_well
from nucbatch.readers.layouts.name_pattern import NUMBERED, PatternName
from nucbatch.readers.layouts.stains import is_stain
from nucbatch.readers.listing import Listing

_MOST_COMMANDS = 20
_ADDS = {
    "t": "timepoint|time|tp|t",
    "z": "zstep|zplane|z",
    "site": "site|field|fov|fld|pos|position|point|xy",
}
"""What a folder's name may add where the file's name lacks it."""
_CONFIRMS = _ADDS | {"site": f"{_ADDS['site']}|s|f|p", "channel": "channel|chan|ch|c|w|wavelength"}
"""What a folder's name may repeat of the file's name; ``P1`` alone could be a plate."""
_NUMBERED = {
    kind: re.compile(rf"(?:{words})[ _-]?([0-9]{{1,9}})", re.IGNORECASE) for kind, words in _ADDS.items()
}
_TOKENS = {
    kind: re.compile(rf"(?<![A-Za-z0-9])(?:{words})[ _-]?([0-9]{{1,9}})(?![A-Za-z0-9])", re.IGNORECASE)
    for kind, words in _CONFIRMS.items()
}
_CHANNEL = re.compile(r"(?:channel|chan|ch|w|wavelength)[ _-]?[0-9]{1,3}", re.IGNORECASE)
_ROW = re.compile(r"(?:row|r)?[ _-]?([A-Z]|A[A-F])", re.IGNORECASE)
_COLUMN = re.compile(r"(?:column|col|c)?[ _-]?([0-9]{1,2})", re.IGNORECASE)
_WELL = re.compile(r"(?<![A-Za-z0-9])(?:well)?([A-Z]{1,2}[0-9]{1,4})(?![A-Za-z0-9])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file lies. ``parts``: what its name and the folders inside the plate say together.

    ``folder``: the folders down to the last that says nothing of a plate's inside; ``apart``: those of them
    that say nothing; ``text``: what stands beside the well in names.
    """

    parts: PatternName
    folder: str
    apart: tuple[str, ...]
    text: str


def placed(path: str, match: re.Match[str], parts: PatternName) -> Place:
    """Where a file lies whose path a pattern matched as ``parts``; folders in the match are understood."""
    groups = {name: value for name, value in match.groupdict().items() if value}
    told = {
        kind: groups[name]
        for kind, name in (("site", "field"), *zip(_CONFIRMS, _CONFIRMS, strict=True))
        if name in groups
    }
    number = next((value for name, value in groups.items() if name in NUMBERED), "")
    folders, name_at, start = path.split("/")[:-1], path.rfind("/") + 1, match.start()
    added: dict[str, str] = {}
    apart: list[str] = []
    text = ""
    last = end = 0
    for index, folder in enumerate(folders):
        end += len(folder) + 1
        if end > start + 1:
            break
        beside = _beside(folder, parts.well, number, tuple(told.items()))
        kind, value = ("", "") if beside is not None else _added(folder)
        if beside is not None:
            text += f"{beside}/"
        elif not kind or kind in told or not _same(added.setdefault(kind, value), value):
            apart.append(folder)
            last = index + 1
    text += path[name_at:start]
    parts = replace(
        parts,
        site=int(added.get("site", parts.site)),
        channel=added.get("channel", parts.channel),
        z=int(added.get("z", parts.z)),
        t=int(added.get("t", parts.t)),
    )
    return Place(parts, "/".join(folders[:last]), tuple(apart), text)


def is_inside(folder: str, well: str, site: int) -> bool:
    """Whether a folder's whole name says the well or the site of the file in it."""
    return _beside(folder, well, "", (("site", str(site)),)) == ""


@lru_cache(maxsize=1 << 16)
def _beside(folder: str, well: str, number: str, told: tuple[tuple[str, str], ...]) -> str | None:
    """The rest of a folder's name that says what the file's name says too; None for any other."""
    if well:
        for match in _WELL.finditer(folder):
            numbered = number and match[1][0] in "Ww" and _same(match[1][1:], number)
            if numbered or plausible_well(match[1]) == well:
                return folder[: match.start()] + folder[match.end() :]
        row, column = split_well(well)
        lettered, counted = _ROW.fullmatch(folder), _COLUMN.fullmatch(folder)
        if (lettered and lettered[1].upper() == row) or (counted and int(counted[1]) == column):
            return ""
    for kind, value in told:
        for match in _TOKENS[kind].finditer(folder):
            if _same(match[1], value):
                return folder[: match.start()] + folder[match.end() :]
        if kind == "channel" and _same(folder, value):
            return ""
    return None


@lru_cache(maxsize=1 << 16)
def _added(folder: str) -> tuple[str, str]:
    """What a folder says by itself: ``("t", "1")``, ``("channel", "DAPI")``; ``("", "")`` for any other."""
    for kind, regex in _NUMBERED.items():
        match = regex.fullmatch(folder)
        if match:
            return kind, match[1]
    return ("channel", folder) if is_stain(folder) or _CHANNEL.fullmatch(folder) else ("", "")


def _same(written: str, value: str) -> bool:
    if written.isdecimal() and value.isdecimal():
        return int(written) == int(value)
    return written.casefold() == value.casefold()


def require_one_plate(listing: Listing, places: Sequence[Place], hint: Callable[[], str]) -> None:
    """Lets the files of one plate pass. ``hint``: a last line of the message, how to read them as one plate.

    Raises:
        InputError: they are several plates' by their folders, or by the text beside wells in their names.
    """
    folders: dict[tuple[str, ...], set[str]] = defaultdict(set)
    wells: dict[str, set[str]] = defaultdict(set)
    holders: dict[PatternName, set[tuple[str, ...]]] = defaultdict(set)
    for place in places:
        folders[place.apart].add(place.folder)
        wells[place.text].add(place.parts.well)
        holders[place.parts].add(place.apart)
    if len(folders) > 1:
        apart = sorted({folder for of_plate in folders.values() for folder in of_plate})
        if any(len(of_plane) > 1 for of_plane in holders.values()):
            raise several_plates(listing, apart, f"the same wells in {len(apart):,} folders")
        raise several_plates(listing, apart, hint=hint())
    if len(wells) > 1 and any(len(of_text) > 1 for of_text in wells.values()):
        shown = ", ".join(printable(text.strip("/_- ")) or "none" for text in sorted(wells)[:6])
        raise InputError(
            f"{printable(listing.name)} mixes images of {len(wells):,} plates by what stands beside the well "
            f"({shown}). Put each plate into a folder of its own, or give a --pattern that fits the names of "
            f"one.{hint()}"
        )


def several_plates(listing: Listing, folders: list[str], what: str = "", hint: str = "") -> InputError:
    """The error that names each plate's folder and the command that runs it alone. ``what``: held instead of
    that many plates.
    """
    lines = []
    for folder in folders[:_MOST_COMMANDS]:
        path = printable(shlex.quote(f"{listing.root}/{folder}".rstrip("/")))
        out = re.sub(r"[^\w.-]+", "_", folder, flags=re.ASCII).strip("_.") or "plate"
        lines.append(f"  nucbatch run {path} -o out/{out}")
    if len(folders) > _MOST_COMMANDS:
        lines.append(f"  and {len(folders) - _MOST_COMMANDS:,} more")
    held = what or f"{len(folders):,} plates"
    return InputError(f"{printable(listing.name)} holds {held}. Run each alone:\n" + "\n".join(lines) + hint)
