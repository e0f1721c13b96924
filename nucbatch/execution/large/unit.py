"""One unit of work on a large image, as a worker does it, and the files by which it is known to be done.

A resumed run looks at these files: a unit of which one is gone or damaged is done again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from nucbatch.core.errors import MemoryRefused, UnreadableImage
from nucbatch.execution.large.image import LargeImage
from nucbatch.execution.large.stages import stages_of
from nucbatch.store.atomic import flush_all
from nucbatch.store.folder import RunFolder
from nucbatch.store.stamps import ABSENT, packed, stamp_of
from nucbatch.store.units import Unit


@dataclass(frozen=True, slots=True)
class UnitDone:
    """What a unit's worker sends back. ``note`` is a sentence for the user; ``problem`` why the image can't
    be read, empty if it can. ``seconds`` it took, of which the network ``network_s``, are for the record."""

    unit: Unit
    seconds: float = 0.0
    network_s: float = 0.0
    note: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class UnitTask:
    """Units of one stage that one worker does in a row: one, or as many small ones as are worth a journey.

    ``places``: (row, column) of each; ``pieces`` is how many pieces of giants there are, once that is known.
    """

    image: LargeImage
    stage: str
    places: tuple[tuple[int, int], ...]
    pieces: int = 0

    @property
    def key(self) -> str:
        """A name that no other work in the run has."""
        return f"{self.image.field.key} {self.stage} {self.places[0]}"

    @property
    def folder(self) -> RunFolder:
        """The run's."""
        return self.image.folder

    def run(self) -> list[UnitDone]:
        """Does them. An image whose files can't be read gives an outcome that says so; all else is raised."""
        done: list[UnitDone] = []
        for place in self.places:
            done.append(self.do(place))
            if done[-1].problem:
                break
        flush_all(
            path
            for place in self.places
            for path in stages_of(self.image)[self.stage].files(self.image, place)
            if path.exists()
        )
        return done

    def do(self, at: tuple[int, int]) -> UnitDone:
        """Does one."""
        began, stage = time.perf_counter(), stages_of(self.image)[self.stage]
        try:
            came = stage.run(self.image, at, self.pieces)
        except (UnreadableImage, MemoryRefused) as error:
            return UnitDone(Unit(self.stage, *at), problem=str(error))
        read = [stamp_of(path) if path.exists() else (ABSENT, 0) for path in stage.files(self.image, at)]
        stamps, changed_ns = packed(stamp for stamp, _ in read), max((ns for _, ns in read), default=0)
        unit = Unit(self.stage, *at, stamps, changed_ns, came.nuclei, came.pieces, came.digest)
        return UnitDone(unit, time.perf_counter() - began, came.network_s, came.note)
