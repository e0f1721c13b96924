"""A run as a user asks for it, on the command line or in Python: its input, segmentation and output.

Heavy modules are imported when they are used, because the command line imports this module to define its
options.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nucbatch.core.errors import InputError
from nucbatch.core.plate import READ_TIMEOUT_S
from nucbatch.core.segmentation_options import SegmentationOptions
from nucbatch.core.selection import EVERYTHING, Selection

if TYPE_CHECKING:
    from nucbatch.core.illumination import Method
    from nucbatch.core.plate import Plate
    from nucbatch.core.settings import RunSettings
    from nucbatch.execution.prepared import Prepared
    from nucbatch.experiment.description import Experiment


@dataclass(frozen=True, slots=True)
class InputOptions:
    """INPUT and how to read it; the attributes are the arguments of ``readers.find.open_plate``."""

    path: Path
    layout: str = ""
    acquisition: str = ""
    pattern: str = ""
    pixel_size_um: float | None = None
    resolution_um: float | None = None
    flatfield: bool = False
    illumination: Path | None = None
    illumination_method: Method = "divide"
    root: Path | None = None
    read_timeout_s: float = READ_TIMEOUT_S
    plate_name: str = ""

    def open(self, remembered: Path | None = None, *, z_steps: bool = False) -> Plate:
        """Opens the input.

        Args:
            remembered: the file that may hold the headers of an earlier run.
            z_steps: keep the z-steps of a channel that has a projection too.

        Raises:
            InputError, InputNotFound: as ``readers.find.open_plate``.
        """
        from nucbatch.readers.find import open_plate

        return open_plate(
            self.path,
            layout=self.layout,
            acquisition=self.acquisition,
            pattern=self.pattern,
            pixel_size_um=self.pixel_size_um,
            resolution_um=self.resolution_um,
            read_timeout_s=self.read_timeout_s,
            remembered=remembered,
            root=self.root,
            flatfield=self.flatfield,
            illumination=self.illumination,
            illumination_method=self.illumination_method,
            z_steps=z_steps,
            plate_name=self.plate_name,
        )


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run as a user asks for it.

    Attributes:
        source: the input and how to read it.
        segmentation: model, normalisation and thresholds.
        selection: the part of the input to process.
        labels: "zarr", "tiff" or "both".
        ome_zarr: version of the OME-Zarr; None for 0.5, or with ``in_place`` for the input's.
        in_place: whether masks are written into the images of the input.
        overlaps: "once" or "keep".
        block_px: side of the blocks of large images; None for the default.
        experiment: the table of wells, controls, doses and series; None for those of an earlier session.
        measure: what is measured, by the names of :class:`nucbatch.core.measure_settings.MeasureSettings`.
        counted: which nuclei count, by the names of :class:`nucbatch.core.measure_settings.CountSettings`.
        table: "csv" for the nuclei as CSV too.
        images: "copy", or "none" for an OME-Zarr of the labels alone.
    """

    source: InputOptions
    segmentation: SegmentationOptions
    selection: Selection = EVERYTHING
    labels: str = "zarr"
    ome_zarr: str | None = None
    in_place: bool = False
    overlaps: str = "once"
    block_px: int | None = None
    experiment: Experiment | None = None
    measure: Mapping[str, object] = field(default_factory=dict)
    counted: Mapping[str, object] = field(default_factory=dict)
    table: str = "parquet"
    images: str = "copy"

    def prepare(self, out: Path) -> Prepared:
        """Opens the input and prepares its run in the folder ``out``; writes nothing.

        Wrong values and models fail before the headers of a large plate are read.

        Raises:
            InputError, InputNotFound, WeightsError: as ``prepare`` and ``open_plate``.
        """
        from nucbatch.execution.in_place import version_of_input
        from nucbatch.execution.prepared import prepare
        from nucbatch.networks.locate import locate
        from nucbatch.store.run_folder import RunFolder

        if self.in_place and self.labels != "zarr":
            raise InputError(f"--in-place and --labels {self.labels} exclude each other: give one of them.")
        self._settings(self.ome_zarr or "0.5")
        locate(self.segmentation.model)
        plate = self.source.open(remembered=RunFolder(out).plate)
        version = self.ome_zarr or (version_of_input(plate) if self.in_place else "0.5")
        prepared = prepare(
            plate, self._settings(version, plate), block_px=self.block_px, selection=self.selection
        )
        return prepared.with_experiment(self.experiment)

    def _settings(self, ome_zarr: str, plate: Plate | None = None) -> RunSettings:
        return self.segmentation.settings(
            labels="in-place" if self.in_place else self.labels,
            ome_zarr=ome_zarr,
            overlaps=self.overlaps,
            table=self.table,
            images=self.images,
            pixel_size_um=self.source.pixel_size_um,
            plate=plate,
            measure=self.measure,
            counted=self.counted,
        )
