"""The task: one field from its files to its committed labels and measurements, on one worker.

The order of the commit is decided here. Labels and image first, then the table fragment with a copy of the
receipt in it. When all of them are on the disk the receipt goes back to the driver, and nothing else does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from distributed import get_worker
from numpy.typing import NDArray

from nucbatch.core.coverage import largest_absent
from nucbatch.core.errors import UnreadableImage
from nucbatch.core.plate import Field
from nucbatch.execution.image_statistics import look_at
from nucbatch.execution.job import FieldJob
from nucbatch.features.measure import measure, require_families
from nucbatch.features.quality import NUCLEAR_DIAMETER, ZOOM
from nucbatch.inference.queue import lane_of_process
from nucbatch.inference.scale import Scale
from nucbatch.inference.segment import segment_image
from nucbatch.readers.pixels import read_usable
from nucbatch.store.atomic import flush_all
from nucbatch.store.digest import labels_digest
from nucbatch.store.images import field_files, write_field
from nucbatch.store.label_tiff import write_label_tiff
from nucbatch.store.receipt import Receipt, field_digest, fragment_note
from nucbatch.store.stamps import stamp_of
from nucbatch.store.tables import identity_columns, write_fragment


@dataclass(frozen=True, slots=True)
class FieldTask(FieldJob):
    """A field of ordinary size: one block."""

    @property
    def key(self) -> str:
        """A name that no other work in the run has."""
        return self.field.key

    def without(self, channels: Mapping[str, str]) -> FieldTask:
        """The task for a field that lacks these channels, for the reasons given."""
        left = tuple(channel for channel in self.channels if channel.name not in channels)
        return replace(self, field=self.field.without(channels), channels=left)

    def run(self) -> Receipt:
        """See :func:`process_field`."""
        return process_field(self)


class _Stations:
    """Seconds spent at each station of the way of the data."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def add(self, station: str, seconds: float) -> None:
        """Counts time that another one's clock has measured; ``network`` is a part of ``segment``."""
        self.seconds[station] = round(self.seconds.get(station, 0.0) + seconds, 6)

    @contextmanager
    def at(self, station: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[station] = round(time.perf_counter() - started, 6)


def process_field(task: FieldTask) -> Receipt:
    """Reads, segments, measures and commits one field.

    A field whose files can't be read gives a receipt that says so; whatever else goes wrong is raised.
    """
    stations = _Stations()
    try:
        with stations.at("read"):
            reading, lost = read_usable(
                task.plate_root, task.field, task.channels, task.settings.channel, task.read_timeout_s
            )
    except UnreadableImage as error:
        return failed(task.field, str(error), worker=_worker())
    planned, task = task, task.without(lost)
    image = reading.pixels
    with stations.at("segment"):
        lane = lane_of_process(task.weights, task.settings.model_hash, task.settings.precision)

        def predict(tile: NDArray[np.float32]) -> NDArray[np.uint8]:
            maps, seconds = lane.predict_timed(tile)
            stations.add("network", seconds)
            return maps

        known = look_at(image, task.channel, task.settings.normalise)
        found = segment_image(
            nuclear_image(image, task.channel),
            known.constants,
            lane.grid,
            predict,
            task.settings.objects,
            Scale.of(lane.card, task.settings),
        )
        labels = found.labels
    nuclei = int(labels.max(initial=0))
    with stations.at("measure"):
        rows = identity_columns(task.plate_name, task.field, nuclei)
        require_families(task.settings.measurements)
        rows |= measure(labels, image, [channel.name for channel in task.channels])
    with stations.at("write"):
        written = _write_pixels(task, image, labels, known.windows)
        files, _ = task.places.stamps(written)
        receipt = Receipt(
            task.field.key,
            "done",
            reason="",
            nuclei=nuclei,
            labels_sha256=labels_digest(labels),
            qc=known.quality
            | {
                "QC_NormalisedLow": known.constants.low,
                "QC_NormalisedHigh": known.constants.high,
                NUCLEAR_DIAMETER: found.diameter_px,
                ZOOM: found.zoom,
                "QC_Absent": largest_absent(reading.coverage),
            },
            seconds={},
            worker=_worker(),
            source=field_digest(planned.field),
            names=files.names,
            stamps=files.packed,
            lacking=tuple(lost.items()),
        )
        table = task.places.table
        write_fragment(table, rows, fragment_note(receipt, planned.inputs_digest))
        flush_all([*written, table])
        stamp, committed_ns = stamp_of(table)
    return replace(receipt.with_table(stamp, committed_ns), seconds=stations.seconds)


def nuclear_image(image: NDArray[Any], channel: int | None) -> NDArray[Any]:
    """What the network sees of a field (C, Y, X): one channel (Y, X), or where that is None RGB (Y, X, 3)."""
    return (
        np.asarray(image[channel]) if channel is not None else np.ascontiguousarray(image.transpose(1, 2, 0))
    )


def failed(field: Field, reason: str, worker: str = "") -> Receipt:
    """The receipt of a field that could not be done."""
    return Receipt(
        field.key,
        "failed",
        reason=reason,
        nuclei=0,
        labels_sha256="",
        qc={},
        seconds={},
        worker=worker,
    )


def _write_pixels(
    task: FieldTask, image: NDArray[Any], labels: NDArray[np.uint32], windows: list[tuple[float, float]]
) -> list[Path]:
    """Writes labels and image as the run keeps them; the files that it left."""
    written: list[Path] = []
    if task.settings.labels in ("zarr", "both"):
        store = task.folder.store(task.is_plate)
        write_field(
            store,
            task.field,
            task.channels,
            image,
            labels,
            pixel_size_um=task.field.pixel_size_um,
            windows=windows,
        )
        written += field_files(store, task.field, image.shape, image.dtype)
    if task.settings.labels in ("tiff", "both"):
        write_label_tiff(task.places.label_tiff, labels)
        written.append(task.places.label_tiff)
    return written


def _worker() -> str:
    try:
        return str(get_worker().address)
    except ValueError:  # not in a Dask worker: called directly
        return "here"
