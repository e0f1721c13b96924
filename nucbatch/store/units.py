"""Which units of one large image are committed: an append-only file in its scratch, written by the driver.

The decision owned here: a unit is a place (row, column) in a stage; its line says how many bytes it left, how
many nuclei it lists, and its part of the labels' digest. In memory that is a few bytes per unit, whatever
came of it. A line cut short by a kill is dropped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nucbatch.errors import StoreError
from nucbatch.store.atomic import append_durably, cannot_write, write_text
from nucbatch.store.digest import joined_digest

UNITS_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Unit:
    """What came of one unit. ``stored_bytes`` are of the files it left, ``digest`` is of labels it wrote."""

    stage: str
    row: int
    column: int
    stored_bytes: int = 0
    nuclei: int = 0
    pieces: int = 0
    digest: str = ""


class Units:
    """The committed units of one image. A context manager, for the driver alone."""

    def __init__(
        self, path: Path, identity: Mapping[str, Any], shapes: Mapping[str, tuple[int, int]]
    ) -> None:
        """Opens or begins the record of an image.

        Args:
            identity: what the units were made of; those of another identity count for nothing.
            shapes: rows and columns of each stage, in order.

        Raises:
            StoreError: it can't be read or written.
        """
        self.path = path
        self.done = {stage: np.zeros(shape, np.bool_) for stage, shape in shapes.items()}
        self.stored_bytes = {stage: np.zeros(shape, np.int64) for stage, shape in shapes.items()}
        self.nuclei = self.pieces = 0
        self.digest = joined_digest("", "")
        header = json.dumps({"format": UNITS_FORMAT, **identity}, sort_keys=True)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
            if lines[0] == header.encode():
                for line in lines[1:-1]:  # the last one is empty, or was cut short
                    self._count(_parsed(path, line))
                kept = sum(len(line) + 1 for line in lines[:-1])
            else:
                write_text(path, header + "\n")
                kept = len(header) + 1
            self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
            os.ftruncate(self._descriptor, kept)
        except OSError as error:
            raise cannot_write(path, error) from error

    def append(self, units: Iterable[Unit]) -> None:
        """Commits units; they are on the disk when the call returns.

        Raises:
            StoreError: the lines can't be written; the units don't count as done.
        """
        made = list(units)
        lines = "".join(
            f"{u.stage} {u.row} {u.column} {u.stored_bytes} {u.nuclei} {u.pieces} {u.digest or '-'}\n"
            for u in made
        ).encode()
        append_durably(self._descriptor, self.path, lines)
        for unit in made:
            self._count(unit)

    def forget(self, stages: Iterable[str]) -> None:
        """Drops what is committed of some stages.

        Raises:
            StoreError: the record can't be written anew.
        """
        gone = set(stages)
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines[1:] if line.split(" ", 1)[0] not in gone]
        write_text(self.path, lines[0] + "".join(kept))
        os.close(self._descriptor)
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        for stage in self.done:
            self.done[stage][:] = False
        self.nuclei, self.pieces, self.digest = 0, 0, joined_digest("", "")
        for line in kept:
            self._count(_parsed(self.path, line.rstrip("\n").encode()))

    def places(self, stage: str) -> NDArray[np.int64]:
        """(row, column) of a stage's committed units, (n, 2)."""
        return np.argwhere(self.done[stage])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the writing."""
        os.close(self._descriptor)

    def _count(self, unit: Unit) -> None:
        rows, columns = self.done[unit.stage].shape
        if unit.row >= rows or unit.column >= columns:
            return  # of another size of blocks: whoever knows which one counts will forget the stage
        if self.done[unit.stage][unit.row, unit.column]:
            return  # done twice, with the same outcome
        self.done[unit.stage][unit.row, unit.column] = True
        self.stored_bytes[unit.stage][unit.row, unit.column] = unit.stored_bytes
        self.nuclei += unit.nuclei
        self.pieces += unit.pieces
        self.digest = joined_digest(self.digest, unit.digest)


def _parsed(path: Path, line: bytes) -> Unit:
    try:
        stage, row, column, stored, nuclei, pieces, digest = line.decode().split(" ")
        return Unit(
            stage, int(row), int(column), int(stored), int(nuclei), int(pieces), digest.replace("-", "")
        )
    except ValueError as error:
        raise StoreError(
            f"{path} is damaged at {line[:60]!r}: what it counts as done can't be trusted. Remove it; its "
            "image is then made anew."
        ) from error
