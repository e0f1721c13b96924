"""Survey of a large image: copies it into its OME-Zarr and counts its grey levels.

The source is read once, in the order in which it is stored; later stages read the copy by boxes. Files that
can't be read by window are converted first. Normalisation constants, quality figures and display windows come
from sums of the parts' histograms, so they are those of the whole image.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

from nucbatch.core.coverage import Coverage, largest_absent
from nucbatch.core.grey_levels import GreyLevels
from nucbatch.core.plate import Plane
from nucbatch.core.tiles import Box
from nucbatch.execution.image_statistics import colours_of, grey_of, statistics_of_levels
from nucbatch.execution.large.image import LargeImage, plane_key
from nucbatch.features.quality import Edges, edges_of
from nucbatch.features.quality_sample import MARGIN_PX, Sample, joined, sample_of
from nucbatch.masks.block import around
from nucbatch.object_store import path_in
from nucbatch.readers.formats import convert_once, open_plane, reads_by_box
from nucbatch.readers.pixels import damage_of
from nucbatch.readers.read_timeout import Beat, within
from nucbatch.readers.unchanged import require_unchanged
from nucbatch.store.in_place import claim
from nucbatch.store.scratch import read_parts, read_values, write_parts, write_values

CONVERSION_BYTES = 2 << 30
"""Memory limit in bytes for decoding a file that can only be decoded whole."""


def open_files(image: LargeImage, memory_bytes: int) -> str:
    """Creates the image's arrays, and converts files that can't be read by window.

    Returns:
        Messages about conversions; empty if there were none.

    Raises:
        UnreadableImage: a file is missing or damaged.
        MemoryRefused: a file can only be decoded whole and does not fit in ``memory_bytes``.
        StoreError: a file can't be written.
    """
    if image.settings.labels == "in-place":
        claim(image.label_group, image.settings.digest())
    image.image().describe()
    image.maps().describe()
    return convert_files(image, memory_bytes)


def convert_files(image: LargeImage, memory_bytes: int) -> str:
    """Converts files that can't be read by window, once; see :func:`open_files`."""
    converted: dict[str, str] = {}
    said: list[str] = []
    for plane in image.field.planes:

        def convert(beat: Beat, plane: Plane = plane) -> tuple[Path | None, str]:
            return _converted(image, plane, memory_bytes, beat)

        with damage_of(plane):
            target, sentence = within(image.reader.read_timeout_s, plane.path, convert)
        if target is not None:
            converted[plane_key(plane)] = target.name  # the run's folder may be moved
            said.append(sentence)
    write_values(image.scratch.converted / "list.json", converted)
    return "\n".join(filter(None, said))


def _converted(image: LargeImage, plane: Plane, memory_bytes: int, beat: Beat) -> tuple[Path | None, str]:
    """Returns the converted copy of a plane, or None if none is needed, and a message if it is new."""
    require_unchanged(image.reader.root, plane)
    with open_plane(image.reader.root, plane, level=plane.level) as window:
        if reads_by_box(window):
            return None, ""
    said: list[str] = []

    def progress(sentence: str, rows: int, _: int) -> None:
        beat()
        if not rows:
            said.append(sentence)

    target = convert_once(
        path_in(image.reader.root, plane.path),
        image.scratch.converted,
        progress,
        page=plane.page,
        level=plane.level,
        memory_bytes=memory_bytes,
    )
    require_unchanged(image.reader.root, plane)
    return target, "".join(said)


def source_of(image: LargeImage) -> LargeImage:
    """Returns the image with its converted files in place of the originals."""
    converted = read_values(image.scratch.converted / "list.json")
    return image.with_files({key: str(image.scratch.converted / name) for key, name in converted.items()})


def survey(image: LargeImage, row: int, column: int) -> None:
    """Copies a part of the image, and counts its grey levels and edges.

    Raises:
        UnreadableImage: a file is missing or damaged, or has changed since the run was planned.
        StoreError: a file can't be written.
    """
    core = image.units_of(0).box(row, column)
    window = around(core, MARGIN_PX, image.shape)
    source = source_of(image)
    reading = image.reader.read(source.field, image.channels, window, counted=core)
    pixels = reading.pixels  # (C, Y, X)
    inner = pixels[:, *core.within(window)]
    image.image().write(inner, (core.y0, core.x0))
    grey = grey_of(image.seen(pixels))
    rows, columns = core.within(window)
    edges = edges_of(grey, Box(rows.start, columns.start, rows.stop, columns.stop))
    levels = [GreyLevels.of(plane) for plane in inner]
    levels.append(GreyLevels.of(grey[rows, columns]) if image.channel is None else levels[image.channel])
    colours = colours_of(image.seen(inner), image.settings.normalise)
    levels += [] if colours is None else [colours]
    figures = {"edges": asdict(edges), "coverage": [one.to_values() for one in reading.coverage]}
    sample = sample_of(grey, window, core, image.shape)
    parts = [json.dumps(figures).encode(), sample.to_bytes(), *(one.to_bytes() for one in levels)]
    write_parts(image.scratch.survey(row, column), parts)


def add_up(image: LargeImage) -> None:
    """Computes the image's statistics from the histograms of its parts, and stores them.

    Raises:
        StoreError: a part's histograms are missing, or the statistics can't be written.
    """
    settings = image.settings.normalise
    total, edges = [GreyLevels.none(image.field.dtype) for _ in range(len(image.channels) + 1)], Edges()
    total += [GreyLevels.none("uint16")] if settings.method == "lab-kmeans" else []
    coverage: list[Coverage] = []
    samples: list[Sample] = []
    rows, columns = image.units_of(0).shape
    for row in range(rows):
        for column in range(columns):
            first, sample, *parts = read_parts(image.scratch.survey(row, column))
            samples.append(Sample.from_bytes(sample))
            figures = json.loads(first)
            edges += Edges(**figures["edges"])
            covered = [Coverage.from_values(values) for values in figures["coverage"]]
            coverage = [a + b for a, b in zip(coverage, covered, strict=True)] if coverage else covered
            total = [one + GreyLevels.from_bytes(part) for one, part in zip(total, parts, strict=True)]
    colours = total.pop() if settings.method == "lab-kmeans" else None
    *channels, grey = total
    height, width = image.shape
    if edges.pixels != math.prod((max(height - 2, 0), max(width - 2, 0))):
        raise AssertionError(f"{edges.pixels} pixels with a Laplacian in an image of {height} × {width}")
    write_parts(image.scratch.sample, [joined(samples, image.shape).to_bytes()])
    names = [channel.name for channel in image.channels]
    found = statistics_of_levels(channels, image.channel, grey, edges, settings, names, colours)
    write_values(
        image.scratch.constants,
        {
            "low": found.constants.low,
            "high": found.constants.high,
            "centres": found.constants.centres,
            "quality": found.quality | {"QC_Absent": largest_absent(coverage)},
            "windows": found.windows,
        },
    )
