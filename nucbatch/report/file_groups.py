"""The files that a run has found, by status and reason: how many there are, and some of their paths.

A plate can have a million files with one reason, so files.csv is read row by row.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path

MOST_PATHS = 200
"""Paths that are kept of each group."""


@dataclass(slots=True)
class FileGroup:
    """Files with the same status and reason: their number, and the first paths in alphabetical order."""

    status: str
    reason: str
    count: int = 0
    _paths: list[str] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        """At most MOST_PATHS paths."""
        return sorted(self._paths)[:MOST_PATHS]

    def add(self, path: str) -> None:
        """Adds a file."""
        self.count += 1
        self._paths.append(path)
        if len(self._paths) > 8 * MOST_PATHS:
            self._paths = self.paths


def read_file_groups(path: Path) -> list[FileGroup]:
    """Groups the rows of files.csv, in the order in which status and reason come first."""
    groups: dict[tuple[str, str], FileGroup] = {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        columns = next(rows)
        place, status, reason = map(columns.index, ("path", "status", "reason"))
        for row in rows:
            key = row[status], row[reason]
            if key not in groups:
                groups[key] = FileGroup(*key)
            groups[key].add(row[place])
    return list(groups.values())
