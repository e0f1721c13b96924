"""One unit of work on a large image, as a worker does it, and the files by which it is known to be done.

A resumed run looks at these files (``files.py``): a unit of which one is gone or damaged is done again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from nucbatch.core.errors import MemoryRefused, UnreadableImage
from nucbatch.execution.large import stages
from nucbatch.execution.large.files import files_of
from nucbatch.execution.large.image import LargeImage
from nucbatch.execution.large.number import number
from nucbatch.execution.large.objects import find_in_block
from nucbatch.execution.large.predict import predict_tile
from nucbatch.execution.large.survey import add_up, open_files, survey
from nucbatch.execution.large.write import finish, shrink, write_labels
from nucbatch.store.atomic import flush_all
from nucbatch.store.folder import RunFolder
from nucbatch.store.stamps import ABSENT, packed, stamp_of
from nucbatch.store.units import Unit

CONVERSION_BYTES = 2 << 30
"""What a file may take that can only be decoded in one piece."""


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
            for path in files_of(self.image, self.stage, *place)
            if path.exists()
        )
        return done

    def do(self, at: tuple[int, int]) -> UnitDone:
        """Does one."""
        began, network_s = time.perf_counter(), 0.0
        nuclei = pieces = 0
        digest = note = ""
        try:
            match self.stage:
                case stages.OPEN:
                    note = open_files(self.image, CONVERSION_BYTES)
                case stages.SURVEY:
                    survey(self.image, *at)
                case stages.CONSTANTS:
                    add_up(self.image)
                case stages.PREDICT:
                    network_s = predict_tile(self.image, *at)
                case stages.OBJECTS:
                    nuclei, pieces = find_in_block(self.image, *at)
                case stages.NUMBER:
                    nuclei, beyond = number(self.image, self.pieces)
                    if beyond:
                        note = f"{self.image.field.name}: {beyond} larger than any nucleus: left out"
                case stages.LABELS:
                    digest = write_labels(self.image, *at)
                case stages.FINISH:
                    finish(self.image)
                case _:
                    shrink(self.image, stages.level_of(self.stage), *at)
        except (UnreadableImage, MemoryRefused) as error:
            return UnitDone(Unit(self.stage, *at), problem=str(error))
        paths = files_of(self.image, self.stage, *at)
        read = [stamp_of(path) if path.exists() else (ABSENT, 0) for path in paths]
        stamps, changed_ns = packed(stamp for stamp, _ in read), max((ns for _, ns in read), default=0)
        unit = Unit(self.stage, *at, stamps, changed_ns, nuclei, pieces, digest)
        return UnitDone(unit, time.perf_counter() - began, network_s, note)
