"""Finds the fields that are not selected, and the outcome of files that are not used."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import replace

from nucbatch.core.plate import Field, FileStatus, Plate
from nucbatch.core.selection import Selection
from nucbatch.readers.layouts.companions import name_lost_originals
from nucbatch.readers.rules import RULES
from nucbatch.store.sheets import FileOutcome


def not_selected(plate: Plate, receipts: Container[str], selection: Selection) -> frozenset[str]:
    """Returns the keys of usable fields that are not selected and that no earlier session has processed."""
    if not selection:
        return frozenset()
    return frozenset(
        field.key
        for field in plate.fields
        if not field.problem and field.key not in receipts and not selection.includes(field)
    )


def unused_files(
    plate: Plate,
    failed: Mapping[str, str],
    lacking: Mapping[str, Mapping[str, str]],
    left_out: Container[str] = (),
) -> dict[str, FileOutcome]:
    """Returns the outcome, by path, of planned files that were not used.

    Unreadable files are quarantined; such reasons begin with the file's path. The other files of a failed
    field, and those of fields ``left_out`` that are not selected, are ignored by a rule, unless another field
    uses them.

    Args:
        plate: as planned.
        failed: the reason for each failed field, by its key.
        lacking: the reason for each channel that could not be read, by the field's key.
        left_out: keys of fields that are not selected.
    """
    fates: dict[str, FileOutcome] = {}
    for field in _fields(plate, lambda key: key in failed or key in lacking or key in left_out):
        is_left_out, is_used = field.key in left_out, _is_used(field.key, failed, left_out)
        reasons = [
            *lacking.get(field.key, {}).values(),
            *([failed[field.key]] if field.key in failed else []),
        ]
        unread = {
            path: reason.removeprefix(f"{path}: ")
            for path in _paths(field)
            for reason in reasons
            if reason.startswith(f"{path}: ")
        }
        fates |= {path: (FileStatus.QUARANTINED, reason) for path, reason in unread.items()}
        if not is_used:
            rule = "not-selected" if is_left_out else "incomplete-field" if unread else "failed-field"
            for path in _paths(field):
                fates.setdefault(path, _IGNORED[rule])
    if not fates:
        return {}
    good = {
        path
        for field in _fields(plate, lambda key: _is_used(key, failed, left_out))
        for path in _paths(field.without(lacking.get(field.key, {})))
        if path in fates
    }
    return {
        path: fate for path, fate in fates.items() if fate[0] is FileStatus.QUARANTINED or path not in good
    }


def with_lost_originals(plate: Plate, unused: Mapping[str, FileOutcome]) -> Plate:
    """Returns the plate with the reasons of copies whose image the run has quarantined."""
    lost = [path for path, (status, _) in unused.items() if status is FileStatus.QUARANTINED]
    return replace(plate, files=name_lost_originals(plate.files, lost)) if lost else plate


_IGNORED = {
    rule: (FileStatus.IGNORED, f"{rule}: {RULES[rule]}")
    for rule in ("not-selected", "incomplete-field", "failed-field")
}


def _is_used(key: str, failed: Container[str], left_out: Container[str]) -> bool:
    return key not in failed and key not in left_out


def _fields(plate: Plate, wanted: Callable[[str], bool]) -> Iterator[Field]:
    """Yields the fields whose key is wanted."""
    for place, key in enumerate(plate.fields.values("group")):
        if wanted(key):
            yield plate.fields[place]


def _paths(field: Field) -> dict[str, None]:
    """Returns the paths of a field's files, its mask included."""
    masks = [] if field.mask is None else [field.mask.path]
    return dict.fromkeys([*(plane.path for plane in field.planes), *masks])
