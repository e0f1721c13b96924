"""Finds the nuclei that the user leaves out of counts and statistics, by size, place or confidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from nucbatch.core.measure_settings import CountSettings
from nucbatch.core.plate import Field
from nucbatch.execution.label_lists import NONE, LabelLists, Labels
from nucbatch.features.confidence import CONFIDENCE
from nucbatch.store.fragments import read_columns
from nucbatch.store.run_folder import RunFolder

_LABEL, _AREA = "Metadata_ObjectNumber", "Nuclei_AreaShape_Area"
_BORDER = "Metadata_Nuclei_TouchesBorder"

Reasons = Mapping[str, Labels]
"""Object numbers of the nuclei of a field that don't count, by the reason."""


class LeftOut:
    """The nuclei that are left out of each field, by the reason; none if ``lists`` is empty."""

    def __init__(self, lists: Mapping[str, LabelLists]) -> None:
        self._lists = lists

    def reasons(self, place: int) -> dict[str, Labels]:
        """Object numbers of the nuclei of the field at a place, by the reason."""
        return {reason: lists[place] for reason, lists in self._lists.items()}

    def labels(self, place: int) -> Labels:
        """Object numbers of all of them, each once."""
        return np.unique(np.concatenate([NONE, *self.reasons(place).values()]))


def left_out(folder: RunFolder, done: Iterable[Field], counted: CountSettings) -> LeftOut:
    """Returns the nuclei that are left out, by the place of their field among those that are done.

    Args:
        folder: the run's folder, with the fields' table fragments.
        done: the fields.
        counted: which nuclei count.

    Raises:
        DamagedFile: a table fragment can't be read.
    """
    lists: dict[str, LabelLists] = {}
    if counted.leaves_out:
        for field in done:
            for reason, labels in _of_field(folder, field, counted).items():
                lists.setdefault(reason, LabelLists()).append(labels)
    return LeftOut(lists)


def _of_field(folder: RunFolder, field: Field, counted: CountSettings) -> Reasons:
    found: dict[str, list[Labels]] = {}
    confident = [] if counted.min_confidence is None else [CONFIDENCE]
    for columns in read_columns(folder.fragment(field.key), [_LABEL, _AREA, _BORDER, *confident]):
        area, labels = columns[_AREA], columns[_LABEL]
        if counted.min_area_px is not None:
            found.setdefault("min-area", []).append(labels[area < counted.min_area_px])
        if counted.max_area_px is not None:
            found.setdefault("max-area", []).append(labels[area > counted.max_area_px])
        if counted.drop_border:
            found.setdefault("border", []).append(labels[columns[_BORDER].astype(bool)])
        if counted.min_confidence is not None:
            found.setdefault("min-confidence", []).append(
                labels[columns[CONFIDENCE] < counted.min_confidence]
            )
    return {reason: np.concatenate(parts) for reason, parts in found.items()}
