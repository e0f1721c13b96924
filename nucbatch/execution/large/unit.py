"""``UnitTask``: runs units of one stage of a large image on a worker, and records the files that they write.

A resumed run checks these files and repeats units whose files are missing or damaged.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from nucbatch.core.errors import MemoryRefused, UnreadableImage
from nucbatch.execution.large.image import LargeImage
from nucbatch.execution.large.stages import stages_of
from nucbatch.store.atomic import flush_all
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.stamps import ABSENT, packed, stamp_of
from nucbatch.store.units import Unit


@dataclass(frozen=True, slots=True)
class UnitDone:
    """The result of a unit.

    ``seconds``: its duration. ``network_s``: the network's part of it. ``note``: a message for the user.
    ``problem``: why the image can't be read; empty if it can. ``damaged``: the channels that are to blame.
    """

    unit: Unit
    seconds: float = 0.0
    network_s: float = 0.0
    note: str = ""
    problem: str = ""
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UnitTask:
    """Units of one stage that a worker runs in sequence: one large unit or several small ones.

    ``places``: (row, column) of each unit. ``pieces``: number of pieces of oversized objects, once known.
    """

    image: LargeImage
    stage: str
    places: tuple[tuple[int, int], ...]
    pieces: int = 0

    @property
    def key(self) -> str:
        """The task's unique name in the run."""
        return f"{self.image.field.key} {self.stage} {self.places[0]}"

    @property
    def folder(self) -> RunFolder:
        """The run's folder."""
        return self.image.folder

    def run(self) -> list[UnitDone]:
        """Runs the units; unreadable files are reported in the result, other errors are raised."""
        done: list[UnitDone] = []
        for place in self.places:
            done.append(self.do(place))
            if done[-1].problem:
                break
        files_of = stages_of(self.image)[self.stage].files
        flush_all(path for place in self.places for path in files_of(self.image, place) if path.exists())
        return done

    def do(self, at: tuple[int, int]) -> UnitDone:
        """Runs the unit at one place."""
        began, stage = time.perf_counter(), stages_of(self.image)[self.stage]
        try:
            outcome = stage.run(self.image, at, self.pieces)
        except (UnreadableImage, MemoryRefused) as error:
            damaged = error.channels if isinstance(error, UnreadableImage) else ()
            return UnitDone(Unit(self.stage, *at), problem=str(error), damaged=damaged)
        read = [stamp_of(path) if path.exists() else (ABSENT, 0) for path in stage.files(self.image, at)]
        stamps, changed_ns = packed(stamp for stamp, _ in read), max((ns for _, ns in read), default=0)
        unit = Unit(self.stage, *at, stamps, changed_ns, outcome.nuclei, outcome.pieces, outcome.digest)
        return UnitDone(unit, time.perf_counter() - began, outcome.network_s, outcome.note)
