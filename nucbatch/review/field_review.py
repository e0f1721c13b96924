"""One field under review: its nuclei, their table, other thresholds, and corrections. Without a window.

Every nucleus has one number: the value of its pixels in the labels, and ``Metadata_ObjectNumber`` in the
table.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from nucbatch.core.tiles import Box
from nucbatch.features.measure import measure
from nucbatch.features.renumber import renumbered
from nucbatch.review.label_folder import LabelFolder, Origin
from nucbatch.review.reviewed_run import FieldMaps, Image, ReviewedRun

NUMBER = "Metadata_ObjectNumber"
_FIRST = ("AreaShape_Area", "AreaShape_FormFactor", "AreaShape_Eccentricity", "Intensity_MeanIntensity_")


class FieldReview:
    """A field, or a window of a large one, while a person looks at it.

    Attributes:
        run: the run.
        group: of the field.
        box: the window in the field.
        labels: (Y, X) uint32, changed in place by corrections.
        foreground: threshold by which the labels were made.
        peak: likewise.
    """

    def __init__(self, run: ReviewedRun, group: str, box: Box) -> None:
        self.run, self.group, self.box = run, group, box
        self.foreground, self.peak = run.settings.objects.foreground, run.settings.objects.peak
        self.labels = np.array(run.labels(group, box), np.uint32)  # a writable copy
        self._known = self.labels.copy()
        self._from_run = True

    @staticmethod
    def title_of(run: ReviewedRun, group: str, box: Box) -> str:
        """Returns the name of a field, with the window's corner if it is one."""
        name = str(run.row(group)["Name"])
        return name if run.window(group, box) is None else f"{name}, y {box.y0:,}, x {box.x0:,}"

    @property
    def title(self) -> str:
        """Name of the field, with the window's corner if it is one."""
        return self.title_of(self.run, self.group, self.box)

    @cached_property
    def channels(self) -> dict[str, Image]:
        """The channels (Y, X) by name."""
        return self.run.channels(self.group, self.box)

    @cached_property
    def _maps(self) -> FieldMaps:
        return self.run.maps(self.group, self.run.window(self.group, self.box))

    @property
    def has_thresholds(self) -> bool:
        """Whether the nuclei can be found with other thresholds: not where masks were made elsewhere."""
        return self.run.has_network

    @property
    def is_changed(self) -> bool:
        """Whether labels were corrected since they were last saved, or found by a threshold."""
        return not np.array_equal(self.labels, self._known)

    def find(self, foreground: float, peak: float) -> None:
        """Finds the nuclei with other thresholds; corrections are lost.

        Raises:
            StoreError, WeightsError: see :meth:`ReviewedRun.maps`.
        """
        objects = self.run.settings.objects
        self._from_run = (foreground, peak) == (objects.foreground, objects.peak)
        if self._from_run:
            found = self.run.labels(self.group, self.box)
        else:
            found = self._maps.labels(self.run.settings, foreground, peak)
        self.labels[...] = found
        self._known = self.labels.copy()
        self.foreground, self.peak = foreground, peak

    def table(self) -> pd.DataFrame:
        """Measures the nuclei as they are now; rows of the run's table while nothing has changed.

        Returns:
            One row per nucleus, by its number: the number, what a person looks at first, and the rest.
        """
        table = self._rows_of_run() if self._from_run and not self.is_changed else self._measured()
        first = [
            name
            for start in _FIRST
            for name in table.columns
            if name.startswith(f"Nuclei_{start}") and not name.endswith("_um2")
        ]
        rest = [
            name
            for name in table.columns
            if name.startswith(("Nuclei_", "Cytoplasm_", "Metadata_Nuclei_")) and name not in first
        ]
        ordered: pd.DataFrame = table[[NUMBER, *first, *rest]]
        return ordered.sort_values(NUMBER).reset_index(drop=True)

    def _rows_of_run(self) -> pd.DataFrame:
        chosen = pq.read_table(self.run.folder.nuclei, filters=[("Metadata_Image", "=", self.group)])
        rows: pd.DataFrame = chosen.to_pandas()
        return rows[rows[NUMBER].isin(np.unique(self.labels))]

    def _measured(self) -> pd.DataFrame:
        compact, numbers = renumbered(self.labels)
        columns = measure(
            compact,
            np.stack(list(self.channels.values())),
            list(self.channels),
            origin_px=(self.box.y0, self.box.x0),
            settings=self.run.settings.measure,
            pixel_size_um=self._pixel_size_um,
            whole_px=self.run.shape(self.group),
        )
        return pd.DataFrame({NUMBER: numbers, **columns})

    @property
    def _pixel_size_um(self) -> float | None:
        size = self.run.row(self.group).get("PixelSize_um")
        return None if pd.isna(size) else float(size)

    def next_number(self) -> int:
        """Returns a number that no nucleus has, for a new one."""
        return int(self.labels.max(initial=0)) + 1

    def save(self, folder: LabelFolder) -> Origin:
        """Saves the image and the labels as training data.

        Raises:
            InputError, StoreError: see :meth:`LabelFolder.add`.
        """
        origin = folder.add(
            self.run,
            self.group,
            self.box,
            self.labels,
            corrected=True,
            foreground=self.foreground,
            peak=self.peak,
        )
        self._from_run = self._from_run and not self.is_changed
        self._known = self.labels.copy()
        return origin
