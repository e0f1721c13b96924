"""Reads, segments, measures and commits one field on a worker.

Instead of segmenting, it reads the field's mask where masks made elsewhere are measured.

Labels and image are written first, then the table fragment, which contains a copy of the receipt. Once all of
them are flushed to disk, the receipt alone is returned to the driver.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from distributed import get_worker
from numpy.typing import NDArray

from nucbatch.core.coverage import largest_absent
from nucbatch.core.errors import UnreadableImage
from nucbatch.execution.field_task import FieldTask, failed
from nucbatch.execution.image_statistics import image_statistics, mean_in_nuclei, sample_of_image
from nucbatch.execution.job import nuclear_image
from nucbatch.features.confidence import confidence_family
from nucbatch.features.measure import measure, require_families
from nucbatch.features.quality import MICRONUCLEI, NUCLEAR_DIAMETER, ZOOM
from nucbatch.features.quality_figures import sampled_figures
from nucbatch.features.quality_sample import labels_at_corners
from nucbatch.features.renumber import renumbered
from nucbatch.inference.normalise import Constants
from nucbatch.inference.queue import TimedPredictor, queue_of_process
from nucbatch.inference.scale import Scale, areas_of, nuclear_diameter
from nucbatch.inference.segment import Segmented, segment_image
from nucbatch.labels.given_masks import NO_MASK
from nucbatch.store.atomic import flush_all
from nucbatch.store.digest import labels_digest
from nucbatch.store.fragments import write_fragment
from nucbatch.store.images import write_field
from nucbatch.store.in_place import write_labels
from nucbatch.store.kept_maps import KeptMaps
from nucbatch.store.label_tiff import write_label_tiff
from nucbatch.store.labels_alone import write_labels_alone
from nucbatch.store.receipt import Receipt, fragment_note
from nucbatch.store.stamps import Written, stamp_of
from nucbatch.store.tables import identity_columns


class _StageTimer:
    """Measures the seconds spent in each stage of a task."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measures the time spent in the context."""
        started = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - started, 6)


def process_field(task: FieldTask) -> Receipt:
    """Reads, segments, measures and commits one field.

    Returns:
        The receipt; its status is "failed" if the field's files can't be read. Other errors are raised.
    """
    timer = _StageTimer()
    try:
        with timer.stage("read"):
            reading, lost = task.reader.read_usable(task.field, task.channels, task.settings.channel)
    except UnreadableImage as error:
        return failed(task.field, str(error), worker=_worker())
    task = task.without(lost)
    image = reading.pixels
    with timer.stage("segment"):
        statistics = image_statistics(
            image, task.channel, task.settings.normalise, [channel.name for channel in task.channels]
        )
        try:
            found, labels, numbers, maps_bytes = _objects_of(task, image, statistics.constants, timer)
        except UnreadableImage as error:  # of a mask made elsewhere
            return failed(task.field, str(error), worker=_worker())
    nuclei = len(numbers)
    with timer.stage("measure"):
        rows = identity_columns(task.plate_name, task.field, nuclei) | {"Metadata_ObjectNumber": numbers}
        require_families(task.settings.measurements, task.settings.measure.features)
        rows |= measure(
            found.labels,
            image,
            [channel.name for channel in task.channels],
            settings=task.settings.measure,
            pixel_size_um=task.field.pixel_size_um,
            further=confidence_family(task.settings.calibration, found.maps, found.labels.shape, found.zoom),
            runs=found.runs,
        )
        nuclei_mean = mean_in_nuclei([rows], None if task.channel is None else task.settings.channel)
        sampled = sampled_figures(
            sample_of_image(image, task.channel), labels_at_corners(found.labels), nuclei_mean
        )
    with timer.stage("write"):
        written = _write_pixels(task, image, labels, statistics.windows)
        files = task.places.named(written)
        receipt = Receipt(
            task.field.key,
            "done",
            reason="",
            nuclei=nuclei,
            labels_sha256=labels_digest(labels),
            qc=statistics.quality
            | sampled
            | {
                "QC_NormalisedLow": statistics.constants.low,
                "QC_NormalisedHigh": statistics.constants.high,
                NUCLEAR_DIAMETER: found.diameter_px,
                ZOOM: found.zoom,
                MICRONUCLEI: found.micronuclei,
                "QC_Absent": largest_absent(reading.coverage),
            },
            seconds={},
            worker=_worker(),
            source=task.source_digest,
            names=files.names,
            stamps=files.packed,
            lacking=task.lost,
        )
        table = task.places.table
        stamp = write_fragment(table, rows, fragment_note(receipt, task.inputs_digest))
        flush_all([*written, table])
        committed_ns = table.stat().st_mtime_ns
    return replace(receipt.with_table(stamp, committed_ns), seconds=timer.seconds, maps_bytes=maps_bytes)


def _objects_of(
    task: FieldTask, image: NDArray[Any], constants: Constants, timer: _StageTimer
) -> tuple[Segmented, NDArray[np.uint32], NDArray[np.int64], int]:
    """Finds the field's nuclei with the network, or reads its mask.

    Returns:
        The objects numbered 1..N; the labels (Y, X) to write; the number (N,) of each object in these, which
        may have gaps in a mask made elsewhere; and the size in bytes of the probabilities kept.

    Raises:
        UnreadableImage: the mask can't be used.
    """
    if task.settings.masks != "network" and task.mask is None:  # removed since it was measured
        raise UnreadableImage(NO_MASK)
    if task.mask is not None:
        labels = task.mask.read(image.shape[1:], task.reader.read_timeout_s)
        compact, numbers = renumbered(labels)
        return Segmented(compact, 1.0, nuclear_diameter(areas_of(compact))), labels, numbers, 0
    queue = queue_of_process(task.weights, task.settings.model_hash, task.settings.precision)
    predictor = TimedPredictor(queue)
    kept = None
    if task.keeps_maps:
        kept = KeptMaps.of_field(task.folder, task.field.key, task.settings, predictor.predict)
    found = segment_image(
        nuclear_image(image, task.channel),
        constants,
        queue.grid,
        predictor.predict if kept is None else kept.predict,
        task.settings.objects,
        Scale.of(queue.card, task.settings),
    )
    if predictor.seconds:
        timer.seconds["network"] = round(predictor.seconds, 6)  # a part of "segment"
    highest = 0 if found.runs is None else found.runs.highest(found.labels)
    numbers = np.arange(1, highest + 1, dtype=np.int64)
    return found, found.labels, numbers, 0 if kept is None else kept.write()


def _write_pixels(
    task: FieldTask, image: NDArray[Any], labels: NDArray[np.uint32], windows: list[tuple[float, float]]
) -> Written:
    """Writes labels and image in the run's formats, and returns the files written."""
    written: Written = {}
    if task.settings.copies_images:
        store = task.folder.store(task.is_plate)
        written |= write_field(
            store,
            task.field,
            task.channels,
            image,
            labels,
            windows=windows,
            version=task.settings.ome_zarr,
        )
    elif task.settings.keeps_zarr:
        written |= write_labels_alone(task.places.group, task.field, labels, task.settings.ome_zarr)
    if task.settings.labels == "in-place":
        written |= write_labels(task.places.group, task.field, labels, task.settings.digest())
    if task.settings.labels in ("tiff", "both"):
        write_label_tiff(task.places.label_tiff, labels)
        written[task.places.label_tiff] = stamp_of(task.places.label_tiff)[0]
    return written


def _worker() -> str:
    try:
        return str(get_worker().address)
    except ValueError:  # called directly, not in a Dask worker
        return "here"
