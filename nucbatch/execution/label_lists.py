"""Labels of some nuclei of each field, such as those that count in another field, in one column."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]

NONE: Labels = np.zeros(0, np.int64)


class LabelLists:
    """A list of labels for each field, in the fields' order; 10⁶ lists are two arrays.

    >>> lists = LabelLists([np.array([3, 5]), NONE, np.array([1])])
    >>> lists[0].tolist(), lists[1].tolist(), lists[2].tolist()
    ([3, 5], [], [1])
    """

    def __init__(self, lists: Iterable[Labels] = ()) -> None:
        self._labels, self._ends = array("q"), array("q", [0])
        for labels in lists:
            self.append(labels)

    def append(self, labels: Labels) -> None:
        """Adds the list of the next field."""
        self._labels.frombytes(np.asarray(labels, np.int64).tobytes())
        self._ends.append(len(self._labels))

    def __getitem__(self, place: int) -> Labels:
        """The labels of the field at a place; none for a place behind the last list."""
        if place + 1 >= len(self._ends):
            return NONE
        return np.array(self._labels[self._ends[place] : self._ends[place + 1]], np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __iter__(self) -> Iterator[Labels]:
        return map(self.__getitem__, range(len(self)))
