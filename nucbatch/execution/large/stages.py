"""List of the stages of a large image: the grid of units, the work, the files and the name of each stage.

To add or change a stage, edit this list alone. The driver (``image_progress.py``) uses it to decide which
units may start. A worker (``unit.py``) uses it to run a unit and to record the unit's files. A resumed run
uses it to check these files. Prediction of tiles and detection of objects run in one wave from the top of the
image to the bottom, so that the GPU never waits for objects. Every other stage starts when all earlier stages
are complete.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nucbatch.execution.large.block_objects import find_in_block
from nucbatch.execution.large.image import LargeImage
from nucbatch.execution.large.measure_block import measure_block
from nucbatch.execution.large.number import number
from nucbatch.execution.large.predict_tile import predict_tile, tile_at
from nucbatch.execution.large.survey import CONVERSION_BYTES, add_up, open_files, survey
from nucbatch.execution.large.write import finish, shrink, write_labels
from nucbatch.masks.seams import Place
from nucbatch.store.stamps import ABSENT, Stamp, unpacked
from nucbatch.store.units import read_units


@dataclass(frozen=True, slots=True)
class UnitOutcome:
    """Values that a unit's work returns; its pixels and tables are in its files.

    ``nuclei``: number of nuclei that begin in the unit. ``pieces``: number of pieces of oversized objects in
    it. ``digest``: digest of the labels that it wrote. ``note``: message for the user. ``network_s``: seconds
    that the network took.
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
        name: name in the record of units and in the keys of tasks.
        doing: description for the progress bar.
        timer: name of the timer to which its seconds are added.
        grid: returns (rows, columns) of its units.
        run: runs the unit at (row, column); the last argument is the number of pieces of oversized objects.
        files: returns the files of a unit in a fixed order; chunks of zeros have no file.
        is_kept: whether the units' files stay in the image's OME-Zarr.
        needs: (stage, function) if a row of units needs only the first rows of that earlier stage; the
            function returns how many. All rows of other earlier stages are needed.
    """

    name: str
    doing: str
    timer: str
    grid: Callable[[LargeImage], tuple[int, int]]
    run: Callable[[LargeImage, Place, int], UnitOutcome]
    files: Callable[[LargeImage, Place], list[Path]]
    is_kept: bool = False
    needs: tuple[str, Callable[[LargeImage, int], int]] | None = None

    def rows_needed(self, image: LargeImage, row: int, before: Stage) -> int:
        """Returns how many rows of an earlier stage must be complete before units of a row may start."""
        if self.needs is not None and self.needs[0] == before.name:
            return self.needs[1](image, row)
        return before.grid(image)[0]


def stages_of(image: LargeImage) -> dict[str, Stage]:
    """Returns an image's stages by name, in order."""
    shrinking = [_shrink_stage(level) for level in range(1, image.levels)]
    every = [OPEN, SURVEY, CONSTANTS, PREDICT, OBJECTS, NUMBER, LABELS, MEASURE, *shrinking, FINISH]
    return {stage.name: stage for stage in every}


def after_probabilities(image: LargeImage) -> list[str]:
    """Returns the names of the stages whose results depend on the objects' settings."""
    names = list(stages_of(image))
    return names[names.index(OBJECTS.name) :]


def _one_unit(image: LargeImage) -> tuple[int, int]:
    return 1, 1


def _parts(image: LargeImage) -> tuple[int, int]:
    return image.units_of(0).shape


def _run_open(image: LargeImage, place: Place, pieces: int) -> UnitOutcome:
    return UnitOutcome(note=open_files(image, CONVERSION_BYTES))


def _files_of_open(image: LargeImage, place: Place) -> list[Path]:
    return [image.image().document, image.maps().document]


def _run_survey(image: LargeImage, place: Place, pieces: int) -> UnitOutcome:
    survey(image, *place)
    return UnitOutcome()


def _files_of_survey(image: LargeImage, place: Place) -> list[Path]:
    return [image.scratch.survey(*place), *image.image().files(image.units_of(0).box(*place))]


def _run_constants(image: LargeImage, place: Place, pieces: int) -> UnitOutcome:
    add_up(image)
    return UnitOutcome()


def _run_predict(image: LargeImage, place: Place, pieces: int) -> UnitOutcome:
    return UnitOutcome(network_s=predict_tile(image, *place))


def _run_objects(image: LargeImage, place: Place, pieces: int) -> UnitOutcome:
    nuclei, found = find_in_block(image, *place)
    return UnitOutcome(nuclei=nuclei, pieces=found)


def _files_of_objects(image: LargeImage, place: Place) -> list[Path]:
    return [image.scratch.block(*place)]


def _run_number(image: LargeImage, place: Place, pieces: int) -> UnitOutcome:
    nuclei, beyond = number(image, pieces)
    note = f"{image.field.name}: {beyond} objects larger than any nucleus were left out" if beyond else ""
    return UnitOutcome(nuclei=nuclei, note=note)


def _files_of_number(image: LargeImage, place: Place) -> list[Path]:
    scratch = image.scratch
    keys = [scratch.keys(row) for row in range(image.blocks.shape[0])]
    return [scratch.offsets, scratch.oversized, *keys]


def _run_labels(image: LargeImage, place: Place, pieces: int) -> UnitOutcome:
    return UnitOutcome(digest=write_labels(image, *place))


def _files_of_labels(image: LargeImage, place: Place) -> list[Path]:
    labels = image.labels()
    described = [labels.document] if place == (0, 0) else []
    return [*described, *labels.files(image.units_of(0).box(*place))]


def _run_measure(image: LargeImage, place: Place, pieces: int) -> UnitOutcome:
    measure_block(image, *place)
    return UnitOutcome()


def _run_finish(image: LargeImage, place: Place, pieces: int) -> UnitOutcome:
    finish(image, _kept_files(image), _digests(image))
    return UnitOutcome()


def _shrink_stage(level: int) -> Stage:
    """Returns the stage that computes one level of the pyramids."""

    def run(image: LargeImage, place: Place, pieces: int) -> UnitOutcome:
        shrink(image, level, *place)
        return UnitOutcome()

    def files(image: LargeImage, place: Place) -> list[Path]:
        arrays = (
            [image.image(level), image.labels(level)]
            if image.settings.copies_images
            else [image.labels(level)]
        )
        described = [array.document for array in arrays] if place == (0, 0) else []
        box = image.units_of(level).box(*place)
        return [*described, *(path for array in arrays for path in array.files(box))]

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
    "computing statistics",
    "write",
    _one_unit,
    _run_constants,
    lambda image, place: [image.scratch.constants, image.scratch.sample],
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
MEASURE = Stage(
    "measure",
    "measuring",
    "measure",
    lambda image: image.blocks.shape,
    _run_measure,
    lambda image, place: [image.scratch.rows(*place)],
)
FINISH = Stage(
    "finish", "writing the table", "write", _one_unit, _run_finish, lambda image, place: [image.places.table]
)


def _kept_files(image: LargeImage) -> dict[Path, Stamp]:
    """Returns the stamps of all files but the attributes that committed units wrote into the OME-Zarr.

    Raises:
        OSError: the record of units can't be read.
    """
    known, kept = stages_of(image), dict[Path, Stamp]()
    for unit in read_units(image.scratch.units):
        if known[unit.stage].is_kept:
            files = known[unit.stage].files(image, (unit.row, unit.column))
            stamps = zip(files, unpacked(unit.stamps), strict=True)
            kept |= {path: stamp for path, stamp in stamps if image.label_group in path.parents}
    return {path: stamp for path, stamp in kept.items() if stamp != ABSENT}


def _digests(image: LargeImage) -> list[str]:
    """Returns the digests of all parts of the labels."""
    units = read_units(image.scratch.units)
    return list({unit.place: unit.digest for unit in units if unit.stage == LABELS.name}.values())
