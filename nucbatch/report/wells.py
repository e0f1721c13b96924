"""The wells that the report shows, and the meaning of each well's count.

"No nuclei", "no image" and "failed" are three different states on the whole page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nucbatch.core.plate_geometry import row_index, split_well
from nucbatch.core.selection import NOT_SELECTED

WELL_TIME = ["Metadata_Plate", "Metadata_Well", "Metadata_Time"]
"""Columns of the tables that name a well and time point."""


class WellState(StrEnum):
    """The meaning of a well's count, or of its absence."""

    COUNTED = "counted"  # all of its fields were counted; the count may be zero
    PARTLY = "partly counted"  # some fields were not counted; the count is of the others
    FAILED = "failed"  # it has images, but none could be counted
    PENDING = "pending"  # none of its fields was processed yet
    NOT_SELECTED = "not selected"  # none of its usable fields was selected


@dataclass(frozen=True, slots=True)
class Well:
    """A well at one time point. ``count`` is None if no field was counted; ``t`` starts at 0."""

    plate: str
    name: str
    t: int
    state: WellState
    count: int | None
    done: int
    failed: int
    pending: int
    not_selected: int

    @property
    def place(self) -> tuple[str, str, int]:
        """Its name in the tables: plate, well and time point."""
        return self.plate, self.name, self.t

    @property
    def per_field(self) -> float | None:
        """Mean number of nuclei of the counted fields; None if no field was counted."""
        return None if self.count is None else self.count / self.done

    @property
    def gaps(self) -> str:
        """The fields without a count, in words: ``2 fields failed and 1 field not selected``."""
        parts = {"failed": self.failed, "not processed yet": self.pending, "not selected": self.not_selected}
        return " and ".join(
            f"{count} field{'' if count == 1 else 's'} {what}" for what, count in parts.items() if count
        )


def wells_of(fields: pd.DataFrame) -> tuple[Well, ...]:
    """Returns every well and time point with a field, by plate, time, row and column.

    Args:
        fields: rows of fields.parquet; those without a well are left out.
    """
    statuses: dict[tuple[str, str, int], Counter[str]] = {}
    nuclei: Counter[tuple[str, str, int]] = Counter()
    groups = fields.groupby([*WELL_TIME, "Status"], sort=False, observed=True)["Count_Nuclei"]
    for (plate, name, t, status), size, count in groups.agg(["size", "sum"]).itertuples(name=None):
        if not name:
            continue
        key = str(plate), str(name), int(t)
        statuses.setdefault(key, Counter())[str(status)] += int(size)
        if status == "done":
            nuclei[key] += int(count)
    wells = [_well(key, numbers, nuclei[key]) for key, numbers in statuses.items()]
    return tuple(sorted(wells, key=_order))


def well_numbers(fields: pd.DataFrame, wells: Sequence[Well]) -> NDArray[np.int64]:
    """Returns the number of each field's well among ``wells`` (N,); -1 for a field of none of them."""
    numbers = {well.place: number for number, well in enumerate(wells)}
    groups = fields.groupby(WELL_TIME, sort=False, observed=True)
    of_groups = [numbers.get(place, -1) for place in groups.size().index]
    return np.array(of_groups, np.int64)[groups.ngroup().to_numpy()]


def _well(key: tuple[str, str, int], fields: Counter[str], nuclei: int) -> Well:
    """Returns a well from the numbers of its fields by status, and of the nuclei in the counted ones."""
    done, pending, left_out = fields["done"], fields["pending"], fields[NOT_SELECTED]
    failed = fields.total() - done - pending - left_out
    if done:
        state = WellState.PARTLY if failed or pending or left_out else WellState.COUNTED
    elif pending:
        state = WellState.FAILED if failed else WellState.PENDING
    else:
        state = WellState.NOT_SELECTED if left_out else WellState.FAILED
    return Well(*key, state, nuclei if done else None, done, failed, pending, left_out)


def _order(well: Well) -> tuple[str, int, int, int]:
    row, column = split_well(well.name)
    return well.plate, well.t, row_index(row), column
