"""Writes the results of a large image: numbered labels, both pyramids and its rows of the nuclei table.

The bytes are those of the same image in one block. Chunks depend on the image's size and each has one writer;
rows are in the order of numbers, in row groups of one size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial, reduce
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nucbatch.core.tiles import Box
from nucbatch.execution.image_statistics import AREA, INTEGRATED, mean_in_nuclei
from nucbatch.execution.large.image import LargeImage, surveyed_statistics
from nucbatch.execution.large.number import Numbers
from nucbatch.features.neighbors import CLOSEST, CLOSEST_PX, closest_distance
from nucbatch.features.quality import MICRONUCLEI, NUCLEAR_DIAMETER, ZOOM
from nucbatch.features.quality_figures import sampled_figures
from nucbatch.features.quality_sample import CELL_PX, Sample, corner_places
from nucbatch.inference.scale import nuclear_diameter
from nucbatch.masks.objects import LARGEST_OBJECT_PX
from nucbatch.store.atomic import flush_all
from nucbatch.store.digest import joined_digest, part_digest
from nucbatch.store.display import limits_of
from nucbatch.store.fragments import read_fragment, write_fragments
from nucbatch.store.images import write_attributes
from nucbatch.store.in_place import describe_labels
from nucbatch.store.label_tiff import write_large_label_tiff
from nucbatch.store.labels_alone import describe_labels_alone
from nucbatch.store.pyramid import halved_mean
from nucbatch.store.receipt import Receipt, fragment_note
from nucbatch.store.scratch import read_micronuclei, read_parts
from nucbatch.store.stamps import Stamp, Stamps, stamp_of

_LEVEL_OF_CELLS = CELL_PX.bit_length() - 1
"""Level of the pyramid with one pixel for each cell of the sample."""

_CENTER = ("Metadata_Nuclei_Location_Center_Y", "Metadata_Nuclei_Location_Center_X")


def write_labels(image: LargeImage, row: int, column: int) -> str:
    """Writes one unit of the full-resolution labels, and returns its part of their digest.

    Raises:
        StoreError: a block can't be read or a chunk can't be written.
    """
    target = image.labels()
    if row == column == 0:
        target.describe()
    box = image.units_of(0).box(row, column)
    labels = Numbers(image).labels_of_box(box)
    target.write(labels, (box.y0, box.x0))
    return part_digest(labels, (box.y0, box.x0), target.chunk_px)


def shrink(image: LargeImage, level: int, row: int, column: int) -> None:
    """Writes one unit of one level of the pyramids, computed from the previous level.

    Only a copy of the image that is kept has a pyramid.

    Raises:
        StoreError: a chunk can't be read or written.
    """
    picture, labels = image.image(level), image.labels(level)
    if row == column == 0:
        labels.describe()
    box = image.units_of(level).box(row, column)
    height, width = image.labels(level - 1).shape
    source = Box(2 * box.y0, 2 * box.x0, min(2 * box.y1, height), min(2 * box.x1, width))
    if image.settings.copies_images:
        if row == column == 0:
            picture.describe()
        picture.write(halved_mean(image.image(level - 1).read(source)), (box.y0, box.x0))
    labels.write(image.labels(level - 1).read(source)[::2, ::2], (box.y0, box.x0))


def finish(image: LargeImage, kept: Mapping[Path, Stamp], digests: Sequence[str]) -> None:
    """Writes the OME-Zarr's attributes, the label TIFF and the table fragment with the receipt.

    Args:
        image: the image.
        kept: files of the image's OME-Zarr already written, with their stamps.
        digests: digests of all units of the labels.

    Raises:
        DamagedFile: rows can't be read. StoreError: a file can't be written.
    """
    keeps = image.settings.labels
    written: list[Path] = []
    stamps: dict[str, Stamp] = {}
    if keeps == "in-place":
        written += describe_labels(image.label_group, image.field, image.settings.digest())
    elif image.settings.copies_images:
        written += write_attributes(
            image.group,
            image.field,
            image.channels,
            windows=surveyed_statistics(image).windows,
            limits=[limits_of(image.field.dtype)] * len(image.channels),
            version=image.settings.ome_zarr,
        )
    elif image.settings.keeps_zarr:
        written += describe_labels_alone(image.label_group, image.field, image.settings.ome_zarr)
    if image.settings.labels != "tiff":
        stamps |= {image.places.name(path): stamp for path, stamp in kept.items()}
    if keeps in ("tiff", "both"):
        largest, target = int(Numbers(image).offsets[-1]), image.places.label_tiff
        write_large_label_tiff(target, image.labels().read, image.shape, largest)
        written.append(target)
    stamps |= {image.places.name(path): stamp_of(path)[0] for path in written}
    note = fragment_note(_receipt(image, Stamps.of(stamps), digests), image.inputs_digest)
    write_fragments(image.places.table, _rows(image), note)
    flush_all(written)


def _receipt(image: LargeImage, files: Stamps, digests: Sequence[str]) -> Receipt:
    """Builds the image's receipt, without the stamp of its table."""
    statistics = surveyed_statistics(image)
    return Receipt(
        image.field.key,
        "done",
        reason="",
        nuclei=int(Numbers(image).offsets[-1]),
        labels_sha256=reduce(joined_digest, digests, joined_digest("", "")),
        qc=statistics.quality
        | _sampled(image)
        | {
            "QC_NormalisedLow": statistics.constants.low,
            "QC_NormalisedHigh": statistics.constants.high,
            NUCLEAR_DIAMETER: nuclear_diameter(np.concatenate([np.zeros(0, np.int64), *_areas(image)])),
            ZOOM: image.zoom,
            MICRONUCLEI: _micronuclei(image),
        },
        seconds={},
        worker="",
        source=image.source_digest,
        names=files.names,
        stamps=files.packed,
        lacking=image.lost,
    )


def _sampled(image: LargeImage) -> dict[str, float]:
    """Returns the figures that need the image's sample and its nuclei."""
    sample = Sample.from_bytes(read_parts(image.scratch.sample)[0])
    channel = None if image.channel is None else image.settings.channel
    columns = (
        {
            name: table[name].to_numpy()
            for name in (AREA, f"{INTEGRATED}{channel}")
            if name in table.schema.names
        }
        for table in map(read_fragment, _row_files(image))
    )
    return sampled_figures(sample, _corners(image), mean_in_nuclei(columns, channel))


def _corners(image: LargeImage) -> NDArray[np.uint32]:
    """Reads the labels at the corners of the sample's cells from a level of the pyramid."""
    level = min(_LEVEL_OF_CELLS, image.levels - 1)
    rows, columns = (places * (CELL_PX >> level) for places in corner_places(image.shape))
    corners = np.zeros((len(rows), len(columns)), np.uint32)
    units, stored = image.units_of(level), image.labels(level)
    for place in product(*map(range, units.shape)):
        box = units.box(*place)
        down, across = (rows >= box.y0) & (rows < box.y1), (columns >= box.x0) & (columns < box.x1)
        if down.any() and across.any():
            found = stored.read(box)[np.ix_(rows[down] - box.y0, columns[across] - box.x0)]
            corners[np.ix_(down, across)] = found
    return corners


def _micronuclei(image: LargeImage) -> int:
    """Returns the number of objects that were left out as micronuclei."""
    rows, columns = image.blocks.shape
    blocks = (image.scratch.block(row, column) for row in range(rows) for column in range(columns))
    return sum(read_micronuclei(block) for block in blocks)


def _areas(image: LargeImage) -> Iterator[NDArray[np.int64]]:
    """Yields the areas of the nuclei in px, (n,) int64 per block."""
    for path in _row_files(image):
        yield read_fragment(path)[AREA].to_numpy().astype(np.int64)


def _row_files(image: LargeImage) -> list[Path]:
    """Returns the files that hold the rows of all nuclei."""
    rows, columns = image.blocks.shape
    return [image.scratch.rows(row, column) for row in range(rows) for column in range(columns)]


def _rows(image: LargeImage) -> Iterator[pa.Table]:
    """Yields the rows of the table in order, one row of blocks at a time."""
    rows, columns = image.blocks.shape
    centers = lru_cache(maxsize=8)(partial(_centers, image))
    # A nucleus' centroid may lie below the row of blocks in which it begins.
    near = math.ceil((CLOSEST_PX + LARGEST_OBJECT_PX) / image.block_px)
    for row in range(rows):
        table = pa.concat_tables(
            [read_fragment(image.scratch.rows(row, column)) for column in range(columns)]
        )
        table = table.take(pc.sort_indices(table["Metadata_ObjectNumber"]))
        own = np.stack([table[name].to_numpy() for name in _CENTER], axis=1)
        others = [centers(other) for other in range(max(0, row - near), min(rows, row + near + 1))]
        far = closest_distance(own, np.concatenate(others))
        yield table.set_column(table.column_names.index(CLOSEST), CLOSEST, pa.array(far))


def _centers(image: LargeImage, row: int) -> NDArray[np.float64]:
    """Returns the centroids (n, 2) of the nuclei that begin in a row of blocks."""
    tables = [read_fragment(image.scratch.rows(row, column)) for column in range(image.blocks.shape[1])]
    return np.concatenate(
        [np.stack([table[name].to_numpy() for name in _CENTER], axis=1) for table in tables]
    )
