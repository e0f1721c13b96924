"""Texture, granularity and radial distribution, as the package cp_measure ports them from CellProfiler.

These families are optional, because they are slow. They take grey levels divided by the range of the pixel
type, as CellProfiler does; values of float images must lie between 0 and 1, and are clipped to that.
"""

from __future__ import annotations

import warnings
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nucbatch.core.errors import InputError
from nucbatch.core.measure_settings import MeasureSettings
from nucbatch.features.contract import Columns
from nucbatch.features.measured_objects import Objects


class _OfCellProfiler:
    """One function of cp_measure, applied to each channel."""

    name: ClassVar[str]
    function: ClassVar[str]
    needs_whole_image: ClassVar[bool] = False

    @property
    def package(self) -> str:
        """The package that computes it, with its version.

        Raises:
            InputError: it is not installed.
        """
        try:
            return f"cp_measure {version('cp_measure')}"
        except PackageNotFoundError as error:
            raise InputError(
                f"the measurements {self.name} need the package cp_measure: pip install 'nucbatch[features]'."
            ) from error

    def margin_px(self, settings: MeasureSettings, pixel_size_um: float | None) -> int:
        """One pixel, so that no neighbour is taken for the image's border."""
        return 1

    def measure(self, objects: Objects, image: npt.NDArray[Any], channels: tuple[str, ...]) -> Columns:
        """Columns (N,) float64 named as CellProfiler names them."""
        columns: Columns = {}
        for channel, plane in zip(channels, image, strict=True):
            if objects.count:
                scaled = _scaled(plane)
                found = _computed(self.function, objects.labels.astype(np.int64), scaled)
                found = self._settled(found, scaled)
            else:
                found = {name: np.zeros(0) for name in _figures(self.function)}
            columns |= {self._column(name, channel): values for name, values in found.items()}
        return columns

    def _settled(
        self, found: dict[str, npt.NDArray[np.float64]], plane: npt.NDArray[np.float64]
    ) -> dict[str, npt.NDArray[np.float64]]:
        """Figures of a plane scaled to 0..1, without what varies from call to call."""
        return found

    def _column(self, figure: str, channel: str) -> str:
        """``Texture_Contrast_3_00_256`` of channel DNA becomes ``Nuclei_Texture_Contrast_DNA_3_00_256``."""
        word, underscore, scale = figure.removeprefix(f"{self.name}_").partition("_")
        return f"Nuclei_{self.name}_{word}_{channel}{underscore}{scale}"


class Texture(_OfCellProfiler):
    """Haralick's textures at 3 px, in four directions."""

    name = "Texture"
    function = "texture"


class RadialDistribution(_OfCellProfiler):
    """Grey levels in four rings from the centre of the nucleus to its edge."""

    name = "RadialDistribution"
    function = "radial_distribution"


class Granularity(_OfCellProfiler):
    """Share of the signal in grains of 1 to 16 px, in percent; it depends on the image as a whole.

    The last bits of cp_measure's sums vary from call to call, so values are rounded to six decimals. In an
    image of one level they would be noise alone, and are NaN.
    """

    name = "Granularity"
    function = "granularity"
    needs_whole_image = True

    def _settled(
        self, found: dict[str, npt.NDArray[np.float64]], plane: npt.NDArray[np.float64]
    ) -> dict[str, npt.NDArray[np.float64]]:
        flat = plane.min() == plane.max()
        return {
            name: np.full_like(values, np.nan) if flat else np.round(values, 6) + 0.0
            for name, values in found.items()
        }

    def _column(self, figure: str, channel: str) -> str:
        return f"Nuclei_{figure}_{channel}"


def _scaled(plane: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Grey levels from 0 to 1."""
    if plane.dtype.kind == "f":
        return np.clip(np.nan_to_num(plane.astype(np.float64)), 0.0, 1.0)
    return np.clip(plane.astype(np.float64) / np.iinfo(plane.dtype).max, 0.0, 1.0)


def _computed(
    function: str, labels: npt.NDArray[np.int64], plane: npt.NDArray[np.float64]
) -> dict[str, npt.NDArray[np.float64]]:
    functions = import_module("cp_measure.bulk").get_core_measurements()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of empty rings in small nuclei: their values are NaN
        found = functions[function](labels, plane)
    return {name: np.asarray(values, np.float64) for name, values in found.items()}


@cache
def _figures(function: str) -> tuple[str, ...]:
    """Names of a function's figures, from an object that is measured for that alone."""
    square = np.pad(np.ones((16, 16), np.int64), 4)
    return tuple(_computed(function, square, np.arange(square.size).reshape(square.shape) / square.size))
