"""A large image's course through its stages: which unit may run now, and what is done.

The decision owned here: the driver knows of each unit only whether it is done, and of each stage how far it
is complete from the top. What a unit leaves is looked at once, when a run is taken up again; and what was
finished but is no longer whole is made again from the probabilities, which stay.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import astuple

import numpy as np

from nucbatch.execution.large.image import LargeImage, known
from nucbatch.execution.large.stages import (
    FINISH,
    NUMBER,
    OBJECTS,
    PREDICT,
    SURVEY,
    after_probabilities,
    stages,
    station_of,
)
from nucbatch.execution.large.unit import UnitDone, UnitTask, stored_bytes
from nucbatch.execution.large.write import table_sha256
from nucbatch.store.ledger import Receipt, field_digest
from nucbatch.store.scratch import read_values, write_values
from nucbatch.store.units import Units

_TOGETHER_PX = 2048**2
"""Blocks go out together up to this size, so that small ones cost no more to schedule than large ones."""


class Course:
    """The units of one image, in the order in which they may run.

    ``next`` gives the next units that may begin now, None while all that may are under way; ``accept`` takes
    what came of one. Units come in stages; of a stage that is under way the later ones go first, so that what
    lies in scratch is used up while it is fresh.
    """

    def __init__(self, image: LargeImage) -> None:
        """Takes up what is committed of an image, or begins it.

        Raises:
            StoreError: its record can't be read or written.
        """
        self.image = image
        self.shapes = stages(image)
        self._names = list(self.shapes)
        self._units = Units(image.scratch.units, identity_of(image), self.shapes)
        self._settle()
        self._complete = {name: self._complete_rows(name) for name in self._names}
        self._waiting = {name: self._places(name) for name in self._names}
        self._ahead: dict[str, tuple[int, int] | None] = {
            name: next(places, None) for name, places in self._waiting.items()
        }
        self._seconds: dict[str, float] = {}
        self.problem = ""

    @property
    def finished(self) -> bool:
        """Whether every unit is done, or the image can't be read."""
        return bool(self.problem) or bool(self._units.done[FINISH].all())

    @property
    def units(self) -> tuple[int, int]:
        """(done, all) units."""
        done = sum(int(places.sum()) for places in self._units.done.values())
        return done, sum(rows * columns for rows, columns in self.shapes.values())

    def next(self, *, predict: bool = True) -> UnitTask | None:
        """The next units that may begin; with ``predict`` False none that needs the network."""
        if self.problem:
            return None
        for name in reversed(self._names):
            if name == PREDICT and not predict:
                continue
            places = self._take(name)
            if places:
                return UnitTask(self.image, name, places, self._units.pieces if name == NUMBER else 0)
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
            station = station_of(one.unit.stage)
            self._seconds[station] = self._seconds.get(station, 0.0) + one.seconds
            if one.network_s:
                self._seconds["network"] = self._seconds.get("network", 0.0) + one.network_s
        for name in {unit.stage for unit in good}:
            self._complete[name] = self._complete_rows(name, self._complete[name])

    def receipt(self) -> Receipt:
        """What came of the image, for the run's ledger; its own record is closed.

        Raises:
            StoreError: something it left can't be read.
        """
        image = self.image
        self._units.close()
        image.scratch.drop_objects()
        shutil.rmtree(image.scratch.converted, ignore_errors=True)
        if image.settings.labels == "tiff":
            shutil.rmtree(image.group / "labels", ignore_errors=True)
        found = known(image)
        quality = {
            "QC_NormalisedLow": found.constants.low,
            "QC_NormalisedHigh": found.constants.high,
        }
        return Receipt(
            image.field.key,
            "done",
            reason="",
            nuclei=self._units.nuclei,
            labels_sha256=self._units.digest,
            fragment=image.folder.fragment(image.field.key).relative_to(image.folder.path).as_posix(),
            fragment_sha256=table_sha256(image),
            qc=found.quality | quality,
            seconds={name: round(seconds, 3) for name, seconds in self._seconds.items()},
            worker="",
            source=field_digest(image.field),
        )

    def close(self) -> None:
        """Ends the record; what is not done stays for another time."""
        self._units.close()

    def _settle(self) -> None:
        """Drops from the record what is not whole on the disk, and what must be done anew with it."""
        objects = after_probabilities(self.image)
        made = settings_of_objects(self.image)
        note = self.image.scratch.path / "objects.json"
        stale = not note.exists() or read_values(note) != made
        if stale or self._units.done[FINISH].any():  # it is back: something of what was finished is gone
            self._units.forget(objects)
            self.image.scratch.drop_objects()
            write_values(note, made)
        for index, name in enumerate(self._names):
            broken = [
                (row, column)
                for row, column in self._units.places(name).tolist()
                if stored_bytes(self.image, name, row, column) != self._units.stored_bytes[name][row, column]
            ]
            if broken:  # the survey may need files that were converted for it and have been removed since
                self._units.forget(self._names[0 if name == SURVEY else index :])
                return

    def _take(self, name: str) -> tuple[tuple[int, int], ...]:
        """The next places of a stage that may begin, as many as go out together."""
        most = max(1, _TOGETHER_PX // self.image.block_px**2) if name == OBJECTS else 1
        taken: list[tuple[int, int]] = []
        while len(taken) < most and (place := self._ahead[name]) and self._may_begin(name, place[0]):
            taken.append(place)
            self._ahead[name] = next(self._waiting[name], None)
        return tuple(taken)

    def _may_begin(self, name: str, row: int) -> bool:
        index = self._names.index(name)
        if index == 0:
            return True
        before = self._names[index - 1]
        rows = self.image.rows_for(row) if name == OBJECTS else self.shapes[before][0]
        return self._complete[before] >= rows

    def _complete_rows(self, name: str, known_rows: int = 0) -> int:
        """How many rows of a stage are complete, from the top."""
        whole = np.atleast_1d(self._units.done[name][known_rows:].all(axis=1))
        return known_rows + (len(whole) if whole.all() else int(np.argmin(whole)))

    def _places(self, name: str) -> Iterator[tuple[int, int]]:
        """Places of a stage that are not done, in raster order; none that is done meanwhile is left out."""
        rows, columns = self.shapes[name]
        done = self._units.done[name].copy()
        return ((row, column) for row in range(rows) for column in range(columns) if not done[row, column])


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
