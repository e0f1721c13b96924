"""Progress of a large image through its stages: which units are done, and which may run next.

The driver stores only whether each unit is done, and how many rows of each stage are complete from the top. A
resumed run checks the files of done units. If a file proves damaged when it is read later, its unit is
repeated. A finished image with damaged files is computed again from the probabilities, which are kept.
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
    MEASURE,
    NUMBER,
    OBJECTS,
    OPEN,
    PREDICT,
    SURVEY,
    after_probabilities,
    stages_of,
)
from nucbatch.execution.large.unit import UnitDone, UnitTask
from nucbatch.store.fragments import read_note
from nucbatch.store.receipt import Receipt, field_digest, receipt_from_note
from nucbatch.store.scratch import read_values, write_values
from nucbatch.store.stamps import file_problem, stamp_of, stat_of, unpacked
from nucbatch.store.units import Unit, Units

_OF_BLOCKS = (OBJECTS.name, MEASURE.name)
_TOGETHER_PX = 2048**2
"""Small blocks are submitted together up to this size, to limit the cost of scheduling."""


class ImageProgress:
    """Tracks the units of one image, and decides which may run next.

    ``next`` returns units that may start now, or None if none may; ``accept`` commits results. Later stages
    have priority, so that intermediate files are used while they are in the page cache.
    """

    def __init__(self, image: LargeImage, *, verify: bool = False) -> None:
        """Resumes an image from its committed units, or starts it.

        Args:
            image: the image.
            verify: read every file of done units, instead of only those that changed.

        Raises:
            StoreError: the record of units can't be read or written.
        """
        self.image = image
        self._stages = stages_of(image)
        self._names = list(self._stages)
        self.shapes = {name: stage.grid(image) for name, stage in self._stages.items()}
        self._units = Units(image.scratch.units, identity_of(image), self.shapes)
        grids = {name: [stage.doing, *self.shapes[name]] for name, stage in self._stages.items()}
        write_values(image.scratch.stages, {"image": image.field.name, "stages": grids})
        self._settle(verify=verify)
        self._line_up()
        self._doubts: list[DamagedFile] = []
        self._doubted: set[Path] = set()
        self._seconds: dict[str, float] = {}
        self.problem = ""
        self.damaged: tuple[str, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether every unit is done, or the image has failed."""
        return bool(self.problem) or bool(self._units.done[FINISH.name].all())

    @property
    def units(self) -> tuple[int, int]:
        """Number of done units and of all units."""
        done = sum(int(places.sum()) for places in self._units.done.values())
        return done, sum(rows * columns for rows, columns in self.shapes.values())

    def next(self, *, predict: bool = True) -> UnitTask | None:
        """Returns the next units that may start, or None; without ``predict`` none that need the network."""
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
        """Commits results of units.

        Raises:
            StoreError: the record of units can't be written.
        """
        good = [outcome.unit for outcome in outcomes if not outcome.problem]
        for one in outcomes:
            if one.problem and not self.problem:
                self.problem, self.damaged = one.problem, one.damaged
        self._units.append(good)
        for one in outcomes:
            timer = self._stages[one.unit.stage].timer
            self._seconds[timer] = self._seconds.get(timer, 0.0) + one.seconds
            if one.network_s:
                self._seconds["network"] = self._seconds.get("network", 0.0) + one.network_s
        for name in {unit.stage for unit in good}:
            self._complete[name] = self._complete_rows(name, self._complete[name])

    def doubt(self, error: DamagedFile) -> None:
        """Records that a unit found a damaged file; no unit starts before :meth:`mend`."""
        self._doubts.append(error)

    def mend(self) -> None:
        """Queues units with damaged files again; call it when no unit is running.

        Raises:
            DamagedFile: no unit's files are damaged, or the same file was damaged before.
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
        """Closes the record of units, deletes intermediate files and returns the image's receipt.

        Raises:
            DamagedFile: the image's table can't be read.
        """
        image = self.image
        self._units.close()
        image.scratch.drop_objects()
        shutil.rmtree(image.scratch.converted, ignore_errors=True)
        if image.settings.labels == "tiff":
            shutil.rmtree(image.group / "labels", ignore_errors=True)
        elif not image.settings.copies_images:
            shutil.rmtree(image.group, ignore_errors=True)
        table = image.places.table
        made = receipt_from_note(read_note(table), image.inputs_digest)
        if made is None:
            raise DamagedFile.at(table, "does not contain the receipt that was just written")
        stamp, committed_ns = stamp_of(table)
        seconds = {name: round(seconds, 3) for name, seconds in self._seconds.items()}
        return replace(made.with_table(stamp, committed_ns), seconds=seconds)

    def close(self) -> None:
        """Closes the record of units; a later session can resume the image."""
        self._units.close()

    def _settle(self, *, verify: bool = False, suspect: Path | None = None) -> bool:
        """Removes units with missing or damaged files from the record; returns whether there were any.

        Units that have used such files while they were intact stay done: a repetition would give the same.
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
        """Tells whether a unit's files are unchanged.

        Reads all files if ``verify``, otherwise only ``suspect`` if it is one of them; compares sizes and
        times of the others.
        """
        paths = self._stages[unit.stage].files(self.image, (unit.row, unit.column))
        stamps = unpacked(unit.stamps)
        return len(paths) == len(stamps) and not any(
            file_problem(path, stat_of(path), stamp, unit.changed_ns, verify=verify or path == suspect)
            for path, stamp in zip(paths, stamps, strict=True)
        )

    def _line_up(self) -> None:
        """Queues all units that are not done, in order."""
        self._complete = {name: self._complete_rows(name) for name in self._names}
        self._waiting = {name: self._places(name) for name in self._names}
        self._ahead: dict[str, tuple[int, int] | None] = {
            name: next(places, None) for name, places in self._waiting.items()
        }

    def _take(self, name: str) -> tuple[tuple[int, int], ...]:
        """Takes the next units of a stage that may start, as many as are submitted together."""
        most = max(1, _TOGETHER_PX // self.image.block_px**2) if name in _OF_BLOCKS else 1
        taken: list[tuple[int, int]] = []
        while len(taken) < most and (place := self._ahead[name]) and self._may_begin(name, place[0]):
            taken.append(place)
            self._ahead[name] = next(self._waiting[name], None)
        return tuple(taken)

    def _may_begin(self, name: str, row: int) -> bool:
        """Tells whether every earlier stage is complete, as far as a row of units needs it.

        Tests all earlier stages, because a unit of any stage may have to be repeated.
        """
        for before in self._names[: self._names.index(name)]:
            needed = self._stages[name].rows_needed(self.image, row, self._stages[before])
            if self._complete[before] < needed:
                return False
        return True

    def _complete_rows(self, name: str, known_rows: int = 0) -> int:
        """Counts the complete rows of a stage from the top, of which ``known_rows`` are known."""
        whole = np.atleast_1d(self._units.done[name][known_rows:].all(axis=1))
        return known_rows + (len(whole) if whole.all() else int(np.argmin(whole)))

    def _places(self, name: str) -> Iterator[tuple[int, int]]:
        """Yields the units of a stage that are not done now, in raster order."""
        rows, columns = self.shapes[name]
        done = self._units.done[name].copy()
        return ((row, column) for row in range(rows) for column in range(columns) if not done[row, column])


def _values(path: Path) -> object:
    """Reads plain values; None if the file is missing or damaged."""
    try:
        return read_values(path)
    except DamagedFile:
        return None


def identity_of(image: LargeImage) -> dict[str, object]:
    """Returns all that the probabilities depend on; units of another identity are discarded."""
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
    """Returns all that the objects' files depend on besides the probabilities."""
    return {
        "settings": image.settings.digest(),
        "block_px": image.block_px,
        "plate": image.plate_name,
    }
