"""Which files a unit of a large image leaves, and which of them the image leaves for good."""

from __future__ import annotations

from pathlib import Path

from nucbatch.execution.large import stages
from nucbatch.execution.large.image import LargeImage
from nucbatch.execution.large.predict import tile_at
from nucbatch.store.stamps import ABSENT, Stamp, file_problem, stat_of, unpacked
from nucbatch.store.units import Unit, read_units


def files_of(image: LargeImage, stage: str, row: int, column: int) -> list[Path]:
    """The files that a unit leaves, in a fixed order; chunks of zeros have none."""
    scratch, first = image.scratch, row == column == 0
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
            keys = [scratch.keys(row) for row in range(image.blocks.shape[0])]
            return [scratch.offsets, scratch.giants, scratch.giant_rows, *keys]
        case stages.LABELS:
            labels = image.labels()
            described = [labels.path / "zarr.json"] if first else []
            return [*described, *labels.files(image.units_of(0).box(row, column))]
        case stages.FINISH:
            return [image.places.table]
        case _:
            level = stages.level_of(stage)
            picture, labels = image.image(level), image.labels(level)
            described = [array.path / "zarr.json" for array in (picture, labels)] if first else []
            box = image.units_of(level).box(row, column)
            return [*described, *picture.files(box), *labels.files(box)]


def is_whole(image: LargeImage, unit: Unit, *, verify: bool = False, suspect: Path | None = None) -> bool:
    """Whether a unit's files are as they were written.

    ``verify``: read all of them; ``suspect``: read this one, if it is among them.
    """
    paths, stamps = files_of(image, *unit.place), unpacked(unit.stamps)
    return len(paths) == len(stamps) and not any(
        file_problem(path, stat_of(path), stamp, unit.changed_ns, verify=verify or path == suspect)
        for path, stamp in zip(paths, stamps, strict=True)
    )


def kept_files(image: LargeImage) -> dict[Path, Stamp]:
    """The files in the image's group that its committed units left, all but the attributes.

    Raises:
        OSError: the record of units can't be read.
    """
    kept: dict[Path, Stamp] = {}
    for unit in read_units(image.scratch.units):
        if unit.stage in (stages.OPEN, stages.SURVEY, stages.LABELS) or stages.level_of(unit.stage):
            stamps = zip(files_of(image, *unit.place), unpacked(unit.stamps), strict=True)
            kept |= {path: stamp for path, stamp in stamps if image.group in path.parents}
    return {path: stamp for path, stamp in kept.items() if stamp != ABSENT}
