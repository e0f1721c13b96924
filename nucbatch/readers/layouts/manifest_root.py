"""Maps folders of another machine to folders below the one that the user names with ``--root``.

A manifest may name ``/home/ubuntu/bucket/batch1/images/plate1/Images/x.tif``, while the images are copied to
``/data/source_4/images/batch1/images/plate1/Images``. Each folder is mapped as a whole, to the folder below
the root whose path ends in the most of its last components. Two folders that fit equally well are both
rejected, because they may hold images of the same names.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from nucbatch.core.escape import printable

_LEAST = 2  # matching components of a folder deeper than expected: "Images" alone may be another plate's


@dataclass(frozen=True)
class MovedFolders:
    """Folders below a root, found by the end of their paths on another machine.

    Attributes:
        root: absolute folder without links.
    """

    root: str
    _known: dict[tuple[str, ...], tuple[str, str]] = field(default_factory=dict, repr=False)

    def find(self, folder: Sequence[str]) -> tuple[str, str]:
        """Finds a folder by its components on the other machine.

        Returns:
            The folder relative to the root (empty for the root itself), and the reason why it is not certain.
        """
        key = tuple(folder)
        if key not in self._known:
            self._known[key] = self._find(key)
        return self._known[key]

    def _find(self, folder: tuple[str, ...]) -> tuple[str, str]:
        above = Path(self.root).parts[1:]
        best: list[str] = [""]
        rank = (_shared_end(folder, above), True)
        for path in self._by_name[folder[-1]] if folder else ():
            parts = path.split("/")
            shared = _shared_end(folder, (*above, *parts))
            expected = shared >= len(parts)
            if not expected and shared < _LEAST:
                continue
            if (shared, expected) > rank:
                best, rank = [path], (shared, expected)
            elif (shared, expected) == rank:
                best.append(path)
        if len(best) == 1:
            return best[0], ""
        shown = " and ".join(printable(f"{self.root}/{path}".rstrip("/")) for path in sorted(best)[:2])
        return "", f"it may be in {shown}: name one of them, or a folder above one of them alone, with --root"

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        """Relative paths of all folders below the root, by their last component."""
        found: dict[str, list[str]] = defaultdict(list)
        for folder, names, _ in os.walk(self.root):
            below = os.path.relpath(folder, self.root)
            names[:] = [n for n in names if not n.endswith(".zarr") and not Path(folder, n).is_symlink()]
            for name in names:
                found[name].append(name if below == "." else f"{below}/{name}".replace(os.sep, "/"))
        return found


def _shared_end(one: Sequence[str], other: Sequence[str]) -> int:
    """Returns the number of last components that two paths share."""
    shared = 0
    for left, right in zip(reversed(one), reversed(other), strict=False):
        if left != right:
            break
        shared += 1
    return shared
