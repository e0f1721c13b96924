"""Suggests a ``--pattern`` for names whose parts are known, and verifies it by reading the folder with it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nucbatch.core.errors import InputError
from nucbatch.readers.layouts.from_names import reads_all
from nucbatch.readers.layouts.name_columns import NameTable
from nucbatch.readers.layouts.name_pattern import compiled
from nucbatch.readers.layouts.pattern import PatternReader
from nucbatch.readers.layouts.well_columns import counts_columns_from_zero
from nucbatch.readers.listing import Listing

_SPECIAL = re.compile(r"([.^$*+?{}\[\]\\|()])")
_ANY = r"[^\W_]+"


def first_working_pattern(listing: Listing, patterns: Iterator[str]) -> str:
    """Returns the first pattern that reads the images (:func:`.from_names.reads_all`); empty if none does."""
    for plain in patterns:
        for pattern in (plain, f"(?i){plain}"):
            try:
                regex = compiled(pattern)
            except InputError:
                continue
            if reads_all(listing, regex, PatternReader.name):
                return pattern
    return ""


def derive_pattern(table: NameTable) -> str:
    """Derives a regex from the roles of a table's parts; empty if they do not identify the image."""
    groups = _groups(table)
    if not groups:
        return ""
    text = "^"
    i = 0
    while i < len(table.separators):
        text += _SPECIAL.sub(r"\\\1", table.separators[i])
        last, group = groups.get(i, (i, ""))
        if group == "label":
            inside = "".join(
                ("" if j == i else _SPECIAL.sub(r"\\\1", table.separators[j])) + _plain(table, j)
                for j in range(i, last + 1)
            )
            text += f"(?P<site>{inside})"
        elif group:
            text += _group(table, i, group)
        else:
            text += _plain(table, i)
        i = last + 1
    closed = any(re.search(r"[^\w.]\.", path.rpartition("/")[2]) for path in table.paths)
    return text + (r"[^\w/]*" if closed else "") + r"\."


def _groups(table: NameTable) -> dict[int, tuple[int, str]]:
    """Returns, for the first part of each group, (its last part, the group's name)."""
    if "well number" in table.roles.values():
        return {}  # the number does not tell how many columns the plate has
    taken: dict[str, int] = {}
    roles = {
        i: role for i, role in table.roles.items() if role != "channel" or not _may_count_wells(table, i)
    }
    if "channel" not in roles.values():  # w1 is a wavelength unless another part is the channel
        roles = {i: role for i, role in table.roles.items() if not _may_count_wells(table, i, digits=4)}
    for i, role in sorted(roles.items(), key=lambda item: (not table.varies(item[0]), item[0])):
        taken.setdefault(role, i)
    wells = [taken[role] for role in ("well", "row", "column and row") if role in taken]
    has_well = bool(wells)
    if not has_well or _may_be_plates(table, taken.get("site", -1), wells):
        taken.pop("site", None)
    used = set(taken.values())
    rest = [i for i in range(len(table.separators)) if i not in used and table.varies(i)]
    groups = {i: (i, role) for role, i in taken.items()}
    if has_well:
        numbers = [i for i in rest if all(part.isdecimal() for part in table.column(i))]
        if "site" not in taken and len(numbers) == 1:
            groups[numbers[0]] = (numbers[0], "site")
        unnamed = [
            i for i in table.folder_parts() if i not in groups and not _repeats(table, i, taken.get("well"))
        ]
        return {} if any(table.varies(i) for i in unnamed) else groups  # such folders may be plates
    free = rest or [i for i in range(len(table.separators)) if i not in used][:1]
    if not free or any(i in used for i in range(free[0], free[-1] + 1)):
        return {}
    groups[free[0]] = (free[-1], "label")
    return groups


def _may_be_plates(table: NameTable, site: int, wells: list[int]) -> bool:
    """Returns whether a part like ``P1`` before the well counts plates rather than positions."""
    if not 0 <= site < min(wells):
        return False
    return all(value[0] in "Pp" and value[1:].isdecimal() for value in table.column(site))


def _repeats(table: NameTable, i: int, well: int | None) -> bool:
    """Returns whether a part repeats the well, its row or its column in each name: ``A/A01.tif``."""
    if well is None:
        return False
    pairs = zip(table.column(i), table.column(well), strict=True)
    return all(part.casefold() in (of.casefold(), of.rstrip("0123456789").casefold()) for part, of in pairs)


def _may_count_wells(table: NameTable, i: int, digits: int = 1) -> bool:
    """Returns whether a part is the letter W with at least so many digits: ``w1``, ``W00012``."""
    return all(re.fullmatch(rf"w[0-9]{{{digits},}}", value, re.IGNORECASE) for value in table.column(i))


def _group(table: NameTable, i: int, role: str) -> str:
    values = table.column(i)
    if role == "column and row":
        return "(?P<column>[0-9]{1,2})(?P<row>[A-Za-z]{1,2})"
    if role == "well":
        word = re.match("well", values[0], re.IGNORECASE)
        before = word[0] if word else ""
        if counts_columns_from_zero(value.removeprefix(before) for value in values):
            return before + "(?P<row>[A-Za-z]{1,2})(?P<column>[0-9]{1,3})"
        return before + r"(?P<well>[A-Za-z]{1,2}[0-9]{1,3})"
    if role == "row" and values[0].isalpha():
        before = values[0][: len("row")] if len(values[0]) > len("AF") else ""
        return f"{before}(?P<row>[A-Za-z]{{1,2}})"
    letters = {value.rstrip("0123456789") for value in values}
    numbered = (
        all(value[-1].isdecimal() for value in values) and len({text.casefold() for text in letters}) == 1
    )
    if numbered:
        return f"{min(letters)}(?P<{role}>[0-9]+)"
    return f"(?P<{role}>{_ANY})"


def _plain(table: NameTable, i: int) -> str:
    values = table.column(i)
    if not table.varies(i):
        return _SPECIAL.sub(r"\\\1", values[0])
    return "[0-9]+" if all(value.isdecimal() for value in values) else _ANY
