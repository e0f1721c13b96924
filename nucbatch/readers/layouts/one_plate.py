"""Decides whether folders below the input are parts of one plate or several plates.

A folder is part of a plate if its name says which part: a well (``B02``), a row or column, a time point
(``TimePoint_1``), a z-step, a site or a channel (``DAPI``). A time point, z-step or site may end a longer
name (``images_z_16``). Any other folder separates plates, even if their wells differ. Text before the well in
a file name (``PlateA_B02``) separates plates too, unless it is a channel (``DAPI_B02``), z-step, time point
or site that the rest of the name lacks, or each well has its own text, such as running numbers or treatments.
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
"""Parts that a folder's name may add if the file's name lacks them."""
_CONFIRMS = _ADDS | {"site": f"{_ADDS['site']}|s|f|p", "channel": "channel|chan|ch|c|w|wavelength"}
"""Parts that a folder's name may repeat from the file's name; ``P1`` alone could be a plate."""
_NUMBERED = {
    kind: re.compile(rf"(?:{words})[ _-]?([0-9]{{1,9}})", re.IGNORECASE) for kind, words in _ADDS.items()
}
_ENDS = {
    kind: re.compile(rf"(.+?)[ _-](?:{words})[ _-]?([0-9]{{1,9}})", re.IGNORECASE)
    for kind, words in _ADDS.items()
}
_BEFORE = {
    kind: re.compile(rf"(?:{words})[ _-]?([0-9]{{1,9}})", re.IGNORECASE)
    for kind, words in (_ADDS | {"site": f"{_ADDS['site']}|s|f"}).items()
}
_BETWEEN = re.compile(r"[ _-]+")
_TOKENS = {
    kind: re.compile(rf"(?<![A-Za-z0-9])(?:{words})[ _-]?([0-9]{{1,9}})(?![A-Za-z0-9])", re.IGNORECASE)
    for kind, words in _CONFIRMS.items()
}
_CHANNEL = re.compile(r"(?:channel|chan|ch|w|wavelength)[ _-]?[0-9]{1,3}", re.IGNORECASE)
_ROW = re.compile(r"(?:row|r)?[ _-]?([A-Z]|A[A-F])", re.IGNORECASE)
_COLUMN = re.compile(r"(?:column|col|c)?[ _-]?([0-9]{1,2})", re.IGNORECASE)
_WELL = re.compile(r"(?<![A-Za-z0-9])(?:well)?([A-Z]{1,2}[0-9]{1,4})(?![A-Za-z0-9])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PlatePosition:
    """Position of a file in a plate.

    Attributes:
        parts: parts of its name, completed by the folders inside the plate.
        folder: path down to the last folder that is not a part of the plate.
        apart: the folders on that path that are not parts of the plate.
        text: text beside the well in names.
    """

    parts: PatternName
    folder: str
    apart: tuple[str, ...]
    text: str


def plate_position(
    path: str, match: re.Match[str], parts: PatternName, confirms: bool = True
) -> PlatePosition:
    """Determines the position of a file.

    Args:
        path: path below the input.
        match: match of the pattern in ``path``; folders inside the match need no further explanation.
        parts: parts of the match.
        confirms: folders may repeat a part of the name, such as its site.
    """
    groups = {name: value for name, value in match.groupdict().items() if value}
    in_name = {
        kind: groups[name]
        for kind, name in (("site", "field"), *zip(_CONFIRMS, _CONFIRMS, strict=True))
        if confirms and name in groups
    }
    written = {"site" if name == "field" else name for name in groups}
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
        beside = _beside(folder, parts.well, number, tuple(in_name.items()))
        if beside is not None:
            text += f"{beside}/"
            continue
        kind, value, rest = _added(folder)
        if kind and kind not in written and _same(added.setdefault(kind, value), value):
            if rest:
                apart.append(rest)
                last = index + 1
        else:
            apart.append(folder)
            last = index + 1
    found, before = _before(path[name_at:start])
    if written.union(added).isdisjoint(found):
        added |= found
        text += before
    else:
        text += path[name_at:start]
    parts = replace(
        parts,
        site=int(added.get("site", parts.site)),
        channel=added.get("channel", parts.channel),
        z=int(added.get("z", parts.z)),
        t=int(added.get("t", parts.t)),
    )
    return PlatePosition(parts, "/".join(folders[:last]), tuple(apart), text)


def is_inside(folder: str, well: str, site: int) -> bool:
    """Returns whether a folder's whole name is the well or the site of the file in it; ``P1`` is a plate."""
    numbered = _NUMBERED["site"].fullmatch(folder)
    return bool(numbered and int(numbered[1]) == site) or _beside(folder, well, "", ()) == ""


@lru_cache(maxsize=1 << 16)
def _beside(folder: str, well: str, number: str, in_name: tuple[tuple[str, str], ...]) -> str | None:
    """Removes a part that the file's name repeats from a folder's name; None if there is none."""
    if well:
        for match in _WELL.finditer(folder):
            numbered = number and match[1][0] in "Ww" and _same(match[1][1:], number)
            if numbered or plausible_well(match[1]) == well:
                return folder[: match.start()] + folder[match.end() :]
        row, column = split_well(well)
        lettered, counted = _ROW.fullmatch(folder), _COLUMN.fullmatch(folder)
        if (lettered and lettered[1].upper() == row) or (counted and int(counted[1]) == column):
            return ""
    for kind, value in in_name:
        for match in _TOKENS[kind].finditer(folder):
            if _same(match[1], value):
                return folder[: match.start()] + folder[match.end() :]
        if kind == "channel" and _same(folder, value):
            return ""
    return None


@lru_cache(maxsize=1 << 16)
def _added(folder: str) -> tuple[str, str, str]:
    """Returns (part that a folder's name adds, its value, the rest of the name); else empty texts.

    ``("t", "1", "")`` for ``t1``, ``("channel", "DAPI", "")``, ``("z", "16", "images")`` for ``images_z_16``.
    """
    for kind, regex in _NUMBERED.items():
        match = regex.fullmatch(folder)
        if match:
            return kind, match[1], ""
    if is_stain(folder) or _CHANNEL.fullmatch(folder):
        return "channel", folder, ""
    for kind, regex in _ENDS.items():
        match = regex.fullmatch(folder)
        if match:
            return kind, match[2], match[1]
    return "", "", ""


@lru_cache(maxsize=1 << 16)
def _before(text: str) -> tuple[dict[str, str], str]:
    """Returns (parts that the text before the well adds, the rest of the text).

    ``({"channel": "DAPI"}, "exp1")`` for ``exp1_DAPI``; nothing where two texts could be the same part.
    """
    found: dict[str, str] = {}
    rest = []
    for token in _BETWEEN.split(text):
        kinds = ["channel"] if is_stain(token) or _CHANNEL.fullmatch(token) else []
        kinds += [kind for kind, regex in _BEFORE.items() if regex.fullmatch(token)]
        if not kinds:
            rest.append(token)
        elif kinds[0] in found:
            return {}, text
        else:
            match = _BEFORE[kinds[0]].fullmatch(token) if kinds[0] != "channel" else None
            found[kinds[0]] = match[1] if match else token
    return found, "_".join(rest)


def _same(written: str, value: str) -> bool:
    if written.isdecimal() and value.isdecimal():
        return int(written) == int(value)
    return written.casefold() == value.casefold()


def require_one_plate(listing: Listing, places: Sequence[PlatePosition], hint: Callable[[], str]) -> None:
    """Checks that the files belong to one plate.

    Args:
        listing: the input.
        places: positions of all files.
        hint: returns a last line for the message: how to read them as one plate.

    Raises:
        InputError: folders, or the text beside the wells in names, separate several plates.
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
            f"{printable(listing.name)} mixes images of {len(wells):,} plates by the text beside the well "
            f"({shown}). Put each plate into a folder of its own, or give a --pattern that fits the names of "
            f"one.{hint()}"
        )


def several_plates(listing: Listing, folders: list[str], what: str = "", hint: str = "") -> InputError:
    """Builds the error that lists each plate's folder with the command that runs it alone.

    Args:
        listing: the input.
        folders: the plates' folders.
        what: describes what the input holds; the number of plates if empty.
        hint: a last line for the message.
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
