"""A large image's course through its stages: which unit may run now, and what is done.

The driver knows of each unit only whether it is done, and of each stage how far it is complete from the top.
What a unit left is looked at when a run is taken up again. A file that turns out to be damaged later, when it
is read, has its unit done again. What was finished but is no longer whole is made again from the
probabilities, which stay.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np

from nucbatch.core.errors import DamagedFile
from nucbatch.execution.large.image import LargeImage
from nucbatch.execution.large.stages import (
    FINISH,
    NUMBER,
    OBJECTS,
    OPEN,
    PREDICT,
    SURVEY,
    after_probabilities,
    stages_of,
)
from nucbatch.execution.large.unit import UnitDone, UnitTask
from nucbatch.store.receipt import Receipt, field_digest, receipt_from_note
from nucbatch.store.scratch import read_values, write_values
from nucbatch.store.stamps import file_problem, stamp_of, stat_of, unpacked
from nucbatch.store.tables import read_note
from nucbatch.store.units import Unit, Units

_TOGETHER_PX = 2048**2
"""Blocks go out together up to this size, so that small ones cost no more to schedule than large ones."""


class Course:
    """The units of one image, in the order in which they may run.

    ``next`` gives the next units that may begin now, None while all that may are under way; ``accept`` takes
    what came of one. Units come in stages; of a stage that is under way the later ones go first, so that what
    lies in scratch is used up while it is fresh.
    """

    def __init__(self, image: LargeImage, *, verify: bool = False) -> None:
        """Takes up what is committed of an image, or begins it.

        ``verify``: read every file that its units left, not only those that were changed since.

        Raises:
            StoreError: its record can't be read or written.
        """
        self.image = image
        self._stages = stages_of(image)
        self._names = list(self._stages)
        self.shapes = {name: stage.grid(image) for name, stage in self._stages.items()}
        self._units = Units(image.scratch.units, identity_of(image), self.shapes)
        self._settle(verify=verify)
        self._line_up()
        self._doubts: list[DamagedFile] = []
        self._doubted: set[Path] = set()
        self._seconds: dict[str, float] = {}
        self.problem = ""

    @property
    def finished(self) -> bool:
        """Whether every unit is done, or the image can't be read."""
        return bool(self.problem) or bool(self._units.done[FINISH.name].all())

    @property
    def units(self) -> tuple[int, int]:
        """(done, all) units."""
        done = sum(int(places.sum()) for places in self._units.done.values())
        return done, sum(rows * columns for rows, columns in self.shapes.values())

    def next(self, *, predict: bool = True) -> UnitTask | None:
        """The next units that may begin; with ``predict`` False none that needs the network."""
        if self.problem or self._doubts:
            return None
        for name in reversed(self._names):
            if name == PREDICT.name and not predict:
                continue
            places = self._take(name)
            if places:
                return UnitTask(self.image, name, places, self._units.pieces if name == NUMBER.name else 0)
        return None

    def accept(self, outcomes: list[UnitDone]) -> None:
        """Commits what came of some units.

        Raises:
            StoreError: it can't be committed.
        """
        good = [outcome.unit for outcome in outcomes if not outcome.problem]
        self.problem = self.problem or next((one.problem for one in outcomes if one.problem), "")
        self._units.append(good)
        for one in outcomes:
            timer = self._stages[one.unit.stage].timer
            self._seconds[timer] = self._seconds.get(timer, 0.0) + one.seconds
            if one.network_s:
                self._seconds["network"] = self._seconds.get("network", 0.0) + one.network_s
        for name in {unit.stage for unit in good}:
            self._complete[name] = self._complete_rows(name, self._complete[name])

    def doubt(self, error: DamagedFile) -> None:
        """A unit found a file of the image damaged: no other begins before :meth:`mend`."""
        self._doubts.append(error)

    def mend(self) -> None:
        """Has units done again whose files are damaged, once none is under way any more.

        Raises:
            DamagedFile: nothing is wrong with what the units left, or the same file was damaged before.
        """
        doubts = {error.path: error for error in self._doubts}
        if not doubts:
            return
        for path, error in doubts.items():
            if path in self._doubted:
                raise error
        self._doubted |= set(doubts)
        found = [self._settle(suspect=path) for path in doubts]
        if not any(found) and not self._settle(verify=True):
            raise self._doubts[0]
        self._doubts.clear()
        self._line_up()

    def receipt(self) -> Receipt:
        """What came of the image, for the run's ledger; its own record is closed.

        Raises:
            DamagedFile: its table can't be read.
        """
        image = self.image
        self._units.close()
        image.scratch.drop_objects()
        shutil.rmtree(image.scratch.converted, ignore_errors=True)
        if image.settings.labels == "tiff":
            shutil.rmtree(image.group / "labels", ignore_errors=True)
        table = image.places.table
        made = receipt_from_note(read_note(table), image.inputs_digest)
        if made is None:
            raise DamagedFile.at(table, "does not hold what was written a moment ago")
        stamp, committed_ns = stamp_of(table)
        seconds = {name: round(seconds, 3) for name, seconds in self._seconds.items()}
        return replace(made.with_table(stamp, committed_ns), seconds=seconds)

    def close(self) -> None:
        """Ends the record; what is not done stays for another time."""
        self._units.close()

    def _settle(self, *, verify: bool = False, suspect: Path | None = None) -> bool:
        """Drops from the record what is not whole on the disk; whether there was something.

        A unit alone, because what others made of its files while they were whole is what they would make of
        them again.
        """
        objects = after_probabilities(self.image)
        made = settings_of_objects(self.image)
        note = self.image.scratch.path / "objects.json"
        if _values(note) != made or self._units.done[FINISH.name].any():  # FINISH: something of it is gone
            self._units.forget(objects)
            self.image.scratch.drop_objects()
            write_values(note, made)
        broken = {
            unit.place
            for unit in self._units.records()
            if not self._is_whole(unit, verify=verify, suspect=suspect)
        }
        converted = self.image.scratch.converted
        if suspect is not None and converted in suspect.parents:
            shutil.rmtree(converted, ignore_errors=True)
            broken.add((OPEN.name, 0, 0))
        elif any(stage == SURVEY.name for stage, _, _ in broken):
            # files that were converted for the survey may have been removed since
            broken.add((OPEN.name, 0, 0))
        if broken:
            self._units.forget(places=broken)
        return bool(broken)

    def _is_whole(self, unit: Unit, *, verify: bool, suspect: Path | None) -> bool:
        """Whether a unit's files are as they were written.

        ``verify``: read all of them; ``suspect``: read this one, if it is among them.
        """
        paths = self._stages[unit.stage].files(self.image, (unit.row, unit.column))
        stamps = unpacked(unit.stamps)
        return len(paths) == len(stamps) and not any(
            file_problem(path, stat_of(path), stamp, unit.changed_ns, verify=verify or path == suspect)
            for path, stamp in zip(paths, stamps, strict=True)
        )

    def _line_up(self) -> None:
        """Puts what is not done in order."""
        self._complete = {name: self._complete_rows(name) for name in self._names}
        self._waiting = {name: self._places(name) for name in self._names}
        self._ahead: dict[str, tuple[int, int] | None] = {
            name: next(places, None) for name, places in self._waiting.items()
        }

    def _take(self, name: str) -> tuple[tuple[int, int], ...]:
        """The next places of a stage that may begin, as many as go out together."""
        most = max(1, _TOGETHER_PX // self.image.block_px**2) if name == OBJECTS.name else 1
        taken: list[tuple[int, int]] = []
        while len(taken) < most and (place := self._ahead[name]) and self._may_begin(name, place[0]):
            taken.append(place)
            self._ahead[name] = next(self._waiting[name], None)
        return tuple(taken)

    def _may_begin(self, name: str, row: int) -> bool:
        """Whether all that comes before is complete; of tiles before objects, as many rows as they look at.

        Not only the stage just before it: a unit of any stage may have to be done again.
        """
        for before in self._names[: self._names.index(name)]:
            needed = self._stages[name].rows_needed(self.image, row, self._stages[before])
            if self._complete[before] < needed:
                return False
        return True

    def _complete_rows(self, name: str, known_rows: int = 0) -> int:
        """How many rows of a stage are complete, from the top."""
        whole = np.atleast_1d(self._units.done[name][known_rows:].all(axis=1))
        return known_rows + (len(whole) if whole.all() else int(np.argmin(whole)))

    def _places(self, name: str) -> Iterator[tuple[int, int]]:
        """Places of a stage that are not done, in raster order; none that is done meanwhile is left out."""
        rows, columns = self.shapes[name]
        done = self._units.done[name].copy()
        return ((row, column) for row in range(rows) for column in range(columns) if not done[row, column])


def _values(path: Path) -> object:
    """Plain values; None where they are missing or damaged."""
    try:
        return read_values(path)
    except DamagedFile:
        return None


def identity_of(image: LargeImage) -> dict[str, object]:
    """What an image's probabilities were made of and how they are laid out: other units are no use."""
    settings = image.settings
    return {
        "field": field_digest(image.field),
        "channels": [channel.name for channel in image.channels],
        "channel": settings.channel,
        "model": settings.model_hash,
        "precision": settings.precision,
        "normalise": settings.normalise.model_dump(mode="json"),
        "zoom": image.zoom,
        "tiles": astuple(image.tiles),
        "group": str(image.group.relative_to(image.folder.path)),
    }


def settings_of_objects(image: LargeImage) -> dict[str, object]:
    """What decides the objects besides the probabilities, and how they are divided."""
    return {
        "settings": image.settings.digest(),
        "block_px": image.block_px,
        "plate": image.plate_name,
    }
