"""One unit of work on a large image, as a worker does it, and the files by which it is known to be done.

The decision owned here: what a stage's unit runs, and what it leaves. Sizes of files are what a resumed run
looks at: a unit whose files are gone or cut short is done again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from nucbatch.errors import MemoryRefused, UnreadableImage
from nucbatch.execution.large import stages
from nucbatch.execution.large.image import LargeImage
from nucbatch.execution.large.number import number
from nucbatch.execution.large.objects import find_in_block
from nucbatch.execution.large.predict import predict_tile, tile_at
from nucbatch.execution.large.survey import add_up, open_files, survey
from nucbatch.execution.large.write import finish, shrink, write_labels
from nucbatch.store.folder import RunFolder
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
        stored = stored_bytes(self.image, self.stage, *at)
        unit = Unit(self.stage, *at, stored, nuclei, pieces, digest)
        return UnitDone(unit, time.perf_counter() - began, network_s, note)


def stored_bytes(image: LargeImage, stage: str, row: int, column: int) -> int:
    """Bytes of the files that a unit leaves, as they lie on the disk; chunks of zeros have none."""
    return sum(path.stat().st_size for path in _files(image, stage, row, column) if path.exists())


def _files(image: LargeImage, stage: str, row: int, column: int) -> list[Path]:
    scratch = image.scratch
    match stage:
        case stages.OPEN:
            return [image.image().path / "zarr.json", image.maps().path / "zarr.json"]
        case stages.SURVEY:
            box = image.units_of(0).box(row, column)
            return [scratch.survey(row, column), *image.image().files(box)]
        case stages.CONSTANTS:
            return [scratch.constants]
        case stages.PREDICT:
            return image.maps().files(tile_at(image, row, column).core)
        case stages.OBJECTS:
            return [scratch.block(row, column), scratch.rows(row, column)]
        case stages.NUMBER:
            return [scratch.offsets, scratch.giants, scratch.giant_rows]
        case stages.LABELS:
            return image.labels().files(image.units_of(0).box(row, column))
        case stages.FINISH:
            return [image.folder.fragment(image.field.key)]
        case _:
            level = stages.level_of(stage)
            box = image.units_of(level).box(row, column)
            return [*image.image(level).files(box), *image.labels(level).files(box)]
