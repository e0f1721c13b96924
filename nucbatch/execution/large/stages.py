"""The stages of a large image, in order: units, work, files and name of each.

This list is all that knows one stage from another. The driver (``image_progress.py``) asks it which unit may
begin, a worker (``unit.py``) runs a unit and stamps the files that it leaves, and a resumed run holds these
files against their stamps. The network's tiles and the blocks' objects run as one wave from top to bottom, so
that a device that predicts never waits for objects; every other stage waits for all units of those before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nucbatch.execution.large.image import LargeImage
from nucbatch.execution.large.number import number
from nucbatch.execution.large.objects import find_in_block
from nucbatch.execution.large.predict import predict_tile, tile_at
from nucbatch.execution.large.survey import CONVERSION_BYTES, add_up, open_files, survey
from nucbatch.execution.large.write import finish, shrink, write_labels
from nucbatch.masks.seams import Place
from nucbatch.store.stamps import ABSENT, Stamp, unpacked
from nucbatch.store.units import read_units


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a unit's work, besides its files.

    ``nuclei`` begin in the unit, ``pieces`` of oversized objects lie in it, ``digest`` is of the labels
    that it wrote, ``note`` is a sentence for the user, ``network_s`` are the seconds that the network took.
    """

    nuclei: int = 0
    pieces: int = 0
    digest: str = ""
    note: str = ""
    network_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a large image.

    Attributes:
        name: in the record of units and in the keys of tasks.
        doing: what users read while it runs.
        timer: the stage timer to which its seconds count.
        grid: (rows, columns) of its units.
        run: does the unit at (row, column); the last argument counts the pieces of oversized objects.
        files: the files that a unit leaves, in a fixed order; chunks of zeros have none.
        is_kept: whether files of its units stay in the image's OME-Zarr.
        needs: the stage of which a row of units needs some rows only, from the top, and how many; of every
            other stage before it all rows.
    """

    name: str
    doing: str
    timer: str
    grid: Callable[[LargeImage], tuple[int, int]]
    run: Callable[[LargeImage, Place, int], Outcome]
    files: Callable[[LargeImage, Place], list[Path]]
    is_kept: bool = False
    needs: tuple[str, Callable[[LargeImage, int], int]] | None = None

    def rows_needed(self, image: LargeImage, row: int, before: Stage) -> int:
        """How many rows of an earlier stage must be complete before units of a row may begin."""
        if self.needs is not None and self.needs[0] == before.name:
            return self.needs[1](image, row)
        return before.grid(image)[0]


def stages_of(image: LargeImage) -> dict[str, Stage]:
    """An image's stages by name, in order."""
    shrinking = [_shrink_stage(level) for level in range(1, image.levels)]
    every = [OPEN, SURVEY, CONSTANTS, PREDICT, OBJECTS, NUMBER, LABELS, *shrinking, FINISH]
    return {stage.name: stage for stage in every}


def after_probabilities(image: LargeImage) -> list[str]:
    """The stages whose outcome depends on the objects' settings."""
    names = list(stages_of(image))
    return names[names.index(OBJECTS.name) :]


def _one_unit(image: LargeImage) -> tuple[int, int]:
    return 1, 1


def _parts(image: LargeImage) -> tuple[int, int]:
    return image.units_of(0).shape


def _run_open(image: LargeImage, place: Place, pieces: int) -> Outcome:
    return Outcome(note=open_files(image, CONVERSION_BYTES))


def _files_of_open(image: LargeImage, place: Place) -> list[Path]:
    return [image.image().path / "zarr.json", image.maps().path / "zarr.json"]


def _run_survey(image: LargeImage, place: Place, pieces: int) -> Outcome:
    survey(image, *place)
    return Outcome()


def _files_of_survey(image: LargeImage, place: Place) -> list[Path]:
    return [image.scratch.survey(*place), *image.image().files(image.units_of(0).box(*place))]


def _run_constants(image: LargeImage, place: Place, pieces: int) -> Outcome:
    add_up(image)
    return Outcome()


def _run_predict(image: LargeImage, place: Place, pieces: int) -> Outcome:
    return Outcome(network_s=predict_tile(image, *place))


def _run_objects(image: LargeImage, place: Place, pieces: int) -> Outcome:
    nuclei, found = find_in_block(image, *place)
    return Outcome(nuclei=nuclei, pieces=found)


def _files_of_objects(image: LargeImage, place: Place) -> list[Path]:
    return [image.scratch.block(*place), image.scratch.rows(*place)]


def _run_number(image: LargeImage, place: Place, pieces: int) -> Outcome:
    nuclei, beyond = number(image, pieces)
    note = f"{image.field.name}: {beyond} larger than any nucleus: left out" if beyond else ""
    return Outcome(nuclei=nuclei, note=note)


def _files_of_number(image: LargeImage, place: Place) -> list[Path]:
    scratch = image.scratch
    keys = [scratch.keys(row) for row in range(image.blocks.shape[0])]
    return [scratch.offsets, scratch.oversized, scratch.oversized_rows, *keys]


def _run_labels(image: LargeImage, place: Place, pieces: int) -> Outcome:
    return Outcome(digest=write_labels(image, *place))


def _files_of_labels(image: LargeImage, place: Place) -> list[Path]:
    labels = image.labels()
    described = [labels.path / "zarr.json"] if place == (0, 0) else []
    return [*described, *labels.files(image.units_of(0).box(*place))]


def _run_finish(image: LargeImage, place: Place, pieces: int) -> Outcome:
    finish(image, _kept_files(image), _digests(image))
    return Outcome()


def _shrink_stage(level: int) -> Stage:
    """The stage that makes one level of both pyramids."""

    def run(image: LargeImage, place: Place, pieces: int) -> Outcome:
        shrink(image, level, *place)
        return Outcome()

    def files(image: LargeImage, place: Place) -> list[Path]:
        picture, labels = image.image(level), image.labels(level)
        described = [array.path / "zarr.json" for array in (picture, labels)] if place == (0, 0) else []
        box = image.units_of(level).box(*place)
        return [*described, *picture.files(box), *labels.files(box)]

    grid = partial(_grid_of_level, level=level)
    return Stage(f"shrink{level}", "shrinking for the pyramid", "write", grid, run, files, is_kept=True)


def _grid_of_level(image: LargeImage, level: int) -> tuple[int, int]:
    return image.units_of(level).shape


OPEN = Stage("open", "opening", "read", _one_unit, _run_open, _files_of_open, is_kept=True)
SURVEY = Stage(
    "survey", "copying and counting grey levels", "read", _parts, _run_survey, _files_of_survey, is_kept=True
)
CONSTANTS = Stage(
    "constants",
    "adding up",
    "write",
    _one_unit,
    _run_constants,
    lambda image, place: [image.scratch.constants],
)
PREDICT = Stage(
    "predict",
    "predicting",
    "predict",
    LargeImage.tile_rows,
    _run_predict,
    lambda image, place: image.maps().files(tile_at(image, *place).core),
)
OBJECTS = Stage(
    "objects",
    "finding nuclei",
    "objects",
    lambda image: image.blocks.shape,
    _run_objects,
    _files_of_objects,
    needs=("predict", LargeImage.rows_for),
)
NUMBER = Stage("number", "numbering", "write", _one_unit, _run_number, _files_of_number)
LABELS = Stage("labels", "writing masks", "write", _parts, _run_labels, _files_of_labels, is_kept=True)
FINISH = Stage(
    "finish", "writing the table", "write", _one_unit, _run_finish, lambda image, place: [image.places.table]
)


def _kept_files(image: LargeImage) -> dict[Path, Stamp]:
    """The files in the image's OME-Zarr that its committed units left, all but the attributes.

    Raises:
        OSError: the record of units can't be read.
    """
    known, kept = stages_of(image), dict[Path, Stamp]()
    for unit in read_units(image.scratch.units):
        if known[unit.stage].is_kept:
            files = known[unit.stage].files(image, (unit.row, unit.column))
            stamps = zip(files, unpacked(unit.stamps), strict=True)
            kept |= {path: stamp for path, stamp in stamps if image.group in path.parents}
    return {path: stamp for path, stamp in kept.items() if stamp != ABSENT}


def _digests(image: LargeImage) -> list[str]:
    """The digests of all parts of the labels."""
    units = read_units(image.scratch.units)
    return list({unit.place: unit.digest for unit in units if unit.stage == LABELS.name}.values())
