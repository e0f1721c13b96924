"""Ledger of the committed units of one large image: an append-only file in its scratch folder.

A unit is one (row, column) of a stage. Its line has the stamps of its files, the number of nuclei that it
lists, its part of the labels' digest, and a checksum of the line. In memory a unit takes one bit. Damaged or
truncated lines are ignored: their units are computed again, with the same result. Only the driver writes
here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from nucbatch.store.atomic import append_durably, cannot_write, replacing, whole_lines, write_text
from nucbatch.store.digest import joined_digest

UNITS_FORMAT = 2

UnitKey = tuple[str, int, int]
"""Key of a unit: stage, row and column."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Result record of one unit.

    Attributes:
        stage: name of the stage.
        row: row in the stage's grid.
        column: column in the stage's grid.
        stamps: packed stamps of the unit's files.
        changed_ns: latest modification time of these files.
        nuclei: number of nuclei listed by the unit.
        pieces: number of pieces of oversized objects.
        digest: part of the labels' digest that the unit wrote.
    """

    stage: str
    row: int
    column: int
    stamps: str = ""
    changed_ns: int = 0
    nuclei: int = 0
    pieces: int = 0
    digest: str = ""

    @property
    def place(self) -> UnitKey:
        """Key of the unit."""
        return self.stage, self.row, self.column


class Units:
    """Committed units of one image; a context manager, used by the driver only."""

    def __init__(
        self, path: Path, identity: Mapping[str, Any], shapes: Mapping[str, tuple[int, int]]
    ) -> None:
        """Opens or creates the ledger of an image.

        Args:
            path: the ledger's file.
            identity: inputs of the units; units recorded with another identity are ignored.
            shapes: (rows, columns) of each stage, in order.

        Raises:
            StoreError: the file cannot be read or written.
        """
        self.path = path
        self.done = {stage: np.zeros(shape, np.bool_) for stage, shape in shapes.items()}
        self._reset()
        header = json.dumps({"format": UNITS_FORMAT, **identity}, sort_keys=True)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if _header(path) != header.encode():
                write_text(path, header + "\n")
            for unit in read_units(path):
                self._count(unit)
            self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
            os.ftruncate(self._descriptor, whole_lines(self._descriptor))
        except OSError as error:
            raise cannot_write(path, error) from error

    def append(self, units: Iterable[Unit]) -> None:
        """Commits units durably; they are on disk when the call returns.

        Raises:
            StoreError: the lines cannot be written; the units are not committed.
        """
        made = list(units)
        append_durably(self._descriptor, self.path, b"".join(map(_line, made)))
        for unit in made:
            self._count(unit)

    def forget(self, stages: Iterable[str] = (), places: Iterable[UnitKey] = ()) -> None:
        """Removes all units of some stages, and some single units.

        Raises:
            StoreError: the ledger cannot be rewritten.
        """
        gone, single = set(stages), set(places)
        header = _header(self.path)
        self._reset()
        with replacing(self.path) as temporary, temporary.open("wb") as file:
            file.write(header + b"\n")
            for unit in read_units(self.path):
                if unit.stage not in gone and unit.place not in single:
                    file.write(_line(unit))
                    self._count(unit)
        os.close(self._descriptor)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND)

    def records(self) -> Iterator[Unit]:
        """Yields the records of the committed units from disk."""
        return (
            unit
            for unit in read_units(self.path)
            if self._has(unit) and self.done[unit.stage][unit.place[1:]]
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the ledger."""
        os.close(self._descriptor)

    def _reset(self) -> None:
        for places in self.done.values():
            places[:] = False
        self.nuclei = self.pieces = 0
        self.digest = joined_digest("", "")

    def _has(self, unit: Unit) -> bool:
        """Returns whether the unit fits the grid of its stage; units of another block size do not."""
        places: NDArray[np.bool_] | None = self.done.get(unit.stage)
        return places is not None and unit.row < places.shape[0] and unit.column < places.shape[1]

    def _count(self, unit: Unit) -> None:
        if not self._has(unit) or self.done[unit.stage][unit.row, unit.column]:
            return  # computed twice, with the same result
        self.done[unit.stage][unit.row, unit.column] = True
        self.nuclei += unit.nuclei
        self.pieces += unit.pieces
        self.digest = joined_digest(self.digest, unit.digest)


def read_units(path: Path) -> Iterator[Unit]:
    """Yields the units of a ledger in commit order, without damaged lines.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        file.readline()
        for line in file:
            unit = _parsed(line)
            if unit is not None:
                yield unit


def _header(path: Path) -> bytes:
    if not path.exists():
        return b""
    with path.open("rb") as file:
        line = file.readline()
    return line[:-1] if line.endswith(b"\n") else b""


def _line(unit: Unit) -> bytes:
    text = (
        f"{unit.stage} {unit.row} {unit.column} {unit.stamps or '-'} {unit.changed_ns} {unit.nuclei} "
        f"{unit.pieces} {unit.digest or '-'} "
    ).encode()
    return text + b"%08x\n" % google_crc32c.value(text)


def _parsed(line: bytes) -> Unit | None:
    text, crc = line[:-9], line[-9:]
    if crc != b"%08x\n" % google_crc32c.value(text):
        return None
    stage, row, column, stamps, changed_ns, nuclei, pieces, digest, _ = text.decode().split(" ")
    held = "" if stamps == "-" else stamps, int(changed_ns), int(nuclei), int(pieces)
    return Unit(stage, int(row), int(column), *held, digest.replace("-", ""))
