"""A finished run as it is reviewed: its fields, their images and masks, and their probability maps.

Kept probabilities are used where the run has them (``--keep-probabilities``). Others are predicted again by
the run's model, with the same normalisation and scale, so that they are the same.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nucbatch.core.errors import InputError, InputNotFound, StoreError, WeightsError
from nucbatch.core.settings import RunSettings, validated
from nucbatch.core.tiles import Box, TileGrid
from nucbatch.inference.normalise import Constants
from nucbatch.inference.predict import grid_of
from nucbatch.inference.queue import queue_of_process
from nucbatch.inference.scale import Fit, Scale
from nucbatch.inference.segment import fitted_maps, segment_maps
from nucbatch.labels.run_images import RunImages
from nucbatch.networks.contract import build
from nucbatch.networks.locate import locate
from nucbatch.networks.model_card import Card
from nucbatch.store.kept_maps import KeptMaps
from nucbatch.store.ledger import read_header
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.stored_images import read_labels

Image = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class FieldMaps:
    """Probability maps of a field or of a window of it, and the scale at which they were predicted.

    Attributes:
        maps: (outputs, Y, X) uint8, in the image's own pixels; without outputs if the field is blank.
        fitted: the scale.
        colour: whether the image is RGB.
    """

    maps: NDArray[np.uint8]
    fitted: Fit
    colour: bool

    def labels(self, settings: RunSettings, foreground: float, peak: float) -> NDArray[np.uint32]:
        """Finds the nuclei (Y, X) with other thresholds, and the other settings of the run."""
        if not len(self.maps):
            return np.zeros(self.maps.shape[1:], np.uint32)
        objects = settings.objects.model_copy(update={"foreground": foreground, "peak": peak})
        return segment_maps(self.maps, self.fitted, objects, colour=self.colour).labels


class ReviewedRun:
    """A run's folder, opened for review.

    Attributes:
        folder: the folder.
        settings: of the run.
    """

    def __init__(self, path: Path) -> None:
        """Opens a run that has ended.

        Raises:
            InputNotFound: there is no such folder.
            StoreError: it is no run, is not finished, or holds no copy of the images.
        """
        self.folder = RunFolder(path)
        if not path.exists():
            raise InputNotFound(f"{path} does not exist: give the output folder of a run.")
        if not self.folder.is_run():
            raise StoreError(
                f"{path} is no run of nucbatch: give the folder that was the -o of nucbatch run."
            )
        missing = [one.name for one in (self.folder.fields, self.folder.run_json) if not one.is_file()]
        if missing:
            raise StoreError(
                f"{path} has no {missing[0]}: finish the run first, with the same command again."
            )
        header = read_header(self.folder)
        if "settings" not in header:
            raise StoreError(
                f"{self.folder.ledger} is damaged: run the same command again, which restores it from the "
                "tables."
            )
        self.settings = validated(header["settings"])
        if not self.settings.keeps_zarr:
            where = "the OME-Zarr that was its input" if self.settings.labels == "in-place" else "label TIFFs"
            raise StoreError(
                f"{path} holds no copy of the images (its labels are in {where}): run it again into another "
                "folder, without --in-place and with --labels zarr or both."
            )

    @cached_property
    def fields(self) -> pd.DataFrame:
        """The counted fields: rows of fields.parquet, indexed by Metadata_Image."""
        table = pd.read_parquet(self.folder.fields)
        return table[table["Status"] == "done"].set_index("Metadata_Image", drop=False)

    def row(self, group: str) -> dict[str, Any]:
        """Returns the row of fields.parquet of a counted field."""
        return {str(name): value for name, value in self.fields.loc[group].items()}

    @cached_property
    def card(self) -> Card:
        """The card of the run's model, from run.json.

        Raises:
            StoreError: run.json holds none that can be read.
        """
        path = self.folder.run_json
        try:
            return Card.model_validate(json.loads(path.read_text(encoding="utf-8"))["model"])
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{path} holds no model card that can be read ({type(error).__name__}): run the same command "
                "again to write it."
            ) from error

    @property
    def has_network(self) -> bool:
        """Whether a network found the nuclei; in a run of ``nucbatch measure`` it did not."""
        return self.settings.masks == "network"

    @cached_property
    def _images(self) -> RunImages:
        return RunImages(self.folder)

    def image(self, group: str, box: Box | None = None) -> Image:
        """Reads what the network saw of a field or a window of it: a channel (Y, X), or RGB (Y, X, 3).

        Raises:
            StoreError: the image can't be read.
        """
        names = self._images.channels(group)
        pixels = self._images.read(group, box=box)
        if self.settings.channel in names:
            return np.asarray(pixels[names.index(self.settings.channel)])
        return np.ascontiguousarray(pixels.transpose(1, 2, 0)) if len(pixels) == 3 else np.asarray(pixels[0])

    def shape(self, group: str) -> tuple[int, int]:
        """Returns the (height, width) of a field in px."""
        row = self.row(group)
        return int(row["Height_px"]), int(row["Width_px"])

    def labels(self, group: str, box: Box | None = None) -> NDArray[np.uint32]:
        """Reads the labels (Y, X) of a field or a window of it.

        Raises:
            StoreError: they can't be read.
        """
        return read_labels(self.folder, group, box=box)

    def channels(self, group: str, box: Box | None = None) -> dict[str, Image]:
        """Reads all channels (Y, X) of a field or a window of it, by name.

        Raises:
            StoreError: the image can't be read.
        """
        return dict(zip(self._images.channels(group), self._images.read(group, box=box), strict=True))

    def constants(self, group: str) -> Constants:
        """Returns the grey levels that the run normalised to 0 and 1."""
        row = self.row(group)
        low, high = float(row["QC_NormalisedLow"]), float(row["QC_NormalisedHigh"])
        return Constants(low, high, clips=self.settings.normalise.clips)

    def zoom(self, group: str) -> float:
        """Returns how many times as large the network saw the field."""
        return float(self.row(group)["QC_Zoom"])

    def window(self, group: str, box: Box) -> Box | None:
        """Returns the box, or None if it is the whole field."""
        return None if box == Box(0, 0, *self.shape(group)) else box

    def keeps_maps(self, group: str, box: Box) -> bool:
        """Tells whether the run has kept the probabilities; of windows of a large field it has not."""
        return self.window(group, box) is None and self.folder.kept_maps(group).is_file()

    def maps(self, group: str, box: Box | None = None) -> FieldMaps:
        """Reads the probability maps of a field, or predicts those that were not kept.

        Args:
            group: of the field.
            box: a window of it, predicted by itself; None for the whole field.

        Raises:
            InputError: no network found the nuclei of this run.
            StoreError: the image can't be read.
            WeightsError: maps were not kept, and the run's model is not there any more.
        """
        if not self.has_network:
            raise InputError(
                f"{self.folder.path} has masks that were made elsewhere: there are no probabilities."
            )
        image, constants = self.image(group, box), self.constants(group)
        colour = image.ndim == 3
        if constants.blank:
            return FieldMaps(np.zeros((0, *image.shape[:2]), np.uint8), Fit(), colour)
        scale = Scale.of(self.card, self.settings)
        predict = self._predict
        if box is None:
            predict = KeptMaps.of_field(self.folder, group, self.settings, self._predict).predict
        else:
            scale = replace(scale, zoom=self.zoom(group))
        maps, fitted = fitted_maps(image, constants, self._grid, predict, scale)
        return FieldMaps(maps, fitted, colour)

    @cached_property
    def _grid(self) -> TileGrid:
        return grid_of(build(self.card.architecture, dict(self.card.config)))

    def _predict(self, tile: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Predicts a tile whose maps were not kept."""
        return queue_of_process(self._weights, self.settings.model_hash, self.settings.precision).predict(
            tile
        )

    @cached_property
    def _weights(self) -> str:
        try:
            return str(locate(self.settings.model))
        except WeightsError as error:
            raise WeightsError(
                f"{self.folder.path} has not kept all probabilities (--keep-probabilities), and its model is "
                f"not there any more: {error}"
            ) from error
