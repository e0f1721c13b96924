"""Finds the nuclei that the user leaves out of counts and statistics, by size, place or confidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from nucbatch.core.measure_settings import CountSettings
from nucbatch.core.plate import Field
from nucbatch.features.confidence import CONFIDENCE
from nucbatch.store.fragments import read_columns
from nucbatch.store.run_folder import RunFolder

_LABEL, _AREA = "Metadata_ObjectNumber", "Nuclei_AreaShape_Area"
_BORDER = "Metadata_Nuclei_TouchesBorder"

NONE = np.zeros(0, np.int64)

Reasons = Mapping[str, npt.NDArray[np.int64]]
"""Object numbers of the nuclei of a field that don't count, by the reason."""


def left_out(folder: RunFolder, done: Iterable[Field], counted: CountSettings) -> dict[str, Reasons]:
    """Returns the nuclei that are left out, by the field's key.

    Args:
        folder: the run's folder, with the fields' table fragments.
        done: the fields.
        counted: which nuclei count.

    Raises:
        DamagedFile: a table fragment can't be read.
    """
    if not counted.leaves_out:
        return {}
    return {field.key: _of_field(folder, field, counted) for field in done}


def _of_field(folder: RunFolder, field: Field, counted: CountSettings) -> Reasons:
    found: dict[str, list[npt.NDArray[np.int64]]] = {}
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


def labels_of(reasons: Reasons) -> npt.NDArray[np.int64]:
    """Returns the object numbers of all reasons, each once."""
    return np.unique(np.concatenate([NONE, *reasons.values()]))
