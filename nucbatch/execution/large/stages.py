"""The stages of a large image: how many units each has, and what must be done before one may begin.

The decision owned here: which stages wait for which. The network's tiles and the blocks' objects run as one
wave from top to bottom, so that a device that predicts never waits for objects; every other stage waits for
the whole of the one before it. Pure: no pixels, no dask.
"""

from __future__ import annotations

from nucbatch.execution.large.image import LargeImage

OPEN, SURVEY, CONSTANTS, PREDICT = "open", "survey", "constants", "predict"
OBJECTS, NUMBER, LABELS, FINISH = "objects", "number", "labels", "finish"
_SHRINK = "shrink"


def stages(image: LargeImage) -> dict[str, tuple[int, int]]:
    """Each stage's (rows, columns) of units, in order."""
    one = (1, 1)
    shrinking = {shrink_stage(level): image.units_of(level).shape for level in range(1, image.levels)}
    return {
        OPEN: one,
        SURVEY: image.units_of(0).shape,
        CONSTANTS: one,
        PREDICT: image.tile_rows(),
        OBJECTS: image.blocks.shape,
        NUMBER: one,
        LABELS: image.units_of(0).shape,
        **shrinking,
        FINISH: one,
    }


def shrink_stage(level: int) -> str:
    """The stage that makes a level of the pyramids."""
    return f"{_SHRINK}{level}"


def level_of(stage: str) -> int:
    """The level that a stage makes; 0 for a stage that shrinks nothing."""
    return int(stage.removeprefix(_SHRINK)) if stage.startswith(_SHRINK) else 0


def after_probabilities(image: LargeImage) -> list[str]:
    """The stages whose outcome depends on the objects' settings."""
    names = list(stages(image))
    return names[names.index(OBJECTS) :]


def station_of(stage: str) -> str:
    """The station of the way of the data to which a stage's time counts."""
    return {SURVEY: "read", OPEN: "read", PREDICT: "predict", OBJECTS: "objects"}.get(stage, "write")


def says(stage: str) -> str:
    """What is done in a stage, for people."""
    shrinking = "shrinking for the pyramid"
    return {
        OPEN: "opening",
        SURVEY: "copying and counting grey levels",
        CONSTANTS: "adding up",
        PREDICT: "predicting",
        OBJECTS: "finding nuclei",
        NUMBER: "numbering",
        LABELS: "writing masks",
        FINISH: "writing the table",
    }.get(stage, shrinking)
