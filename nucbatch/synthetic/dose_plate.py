"""Draws a plate of a dose series: a marker accumulates in the nuclei along a curve of known EC50.

The assay is that of a protein that moves into the nucleus. Its level in the nuclei follows the dose, its
level in the cells' bodies stays. So the ratio of nucleus to cytoplasm follows the same curve, up to a factor
and an offset.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from nucbatch.synthetic.field import make_field

CHANNELS = ("DAPI", "Marker")
COLUMNS = 12
_HIGHEST_NM, _DILUTION = 3000.0, 3.0
_BODY_PX, _BODY_COUNTS, _OFFSET_COUNTS = 12, 900.0, 210.0
_BOTTOM, _TOP, _SLOPE = 0.7, 4.0, 1.2  # of the marker in the nucleus, as multiples of that in the body
_NOISE = 0.05  # of a well, likewise


@dataclass(frozen=True, slots=True)
class DosePlate:
    """What was drawn: the folder of images, the table of wells beside it, and the curve's midpoint."""

    folder: Path
    table: Path
    ec50_nm: float


def make_dose_plate(
    folder: Path,
    *,
    rows: str = "ABC",
    size_px: int = 160,
    nuclei: int = 7,
    ec50_nm: float = 40.0,
    seed: int = 1,
) -> DosePlate:
    """Draws one field per well: negative controls, ten doses of a 1:3 dilution series, positive controls.

    Writes ``plate/<well>_<site>_<channel>.tif`` and ``wells.csv`` with the columns ``Well``, ``Control`` and
    ``Dose_nM`` into the folder.

    Args:
        folder: created if it does not exist.
        rows: letters of the rows; each is a replicate along the columns 1 to 12.
        size_px: side of a field.
        nuclei: nuclei per field, about.
        ec50_nm: midpoint of the curve.
        seed: the same seed gives the same pixels.

    Raises:
        InputError: a field is too small to hold nuclei.
    """
    plate, table = folder / "plate", folder / "wells.csv"
    plate.mkdir(parents=True, exist_ok=True)
    lines = ["Well,Control,Dose_nM"]
    for row in rows:
        for column in range(1, COLUMNS + 1):
            control = {1: "negative", COLUMNS: "positive"}.get(column, "")
            dose_nm = _HIGHEST_NM / _DILUTION ** (COLUMNS - 1 - column)
            shown = {"negative": "0", "positive": ""}.get(control, f"{dose_nm:.4g}")
            response = {"negative": 0.0, "positive": 1.0}.get(control, _response(dose_nm, ec50_nm))
            rng = np.random.default_rng([seed, ord(row), column])
            images, labels = make_field(size_px, rng, nuclei=nuclei, channels=1)
            level = _BOTTOM + (_TOP - _BOTTOM) * response + rng.normal(0, _NOISE)
            pixels = dict(zip(CHANNELS, (images[0], _marker(labels, level, rng)), strict=True))
            for name, plane in pixels.items():
                tifffile.imwrite(plate / f"{row}{column:02d}_1_{name}.tif", plane)
            lines.append(f"{row}{column:02d},{control},{shown}")
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return DosePlate(plate, table, ec50_nm)


def _response(dose_nm: float, ec50_nm: float) -> float:
    return float(1 / (1 + (ec50_nm / dose_nm) ** _SLOPE))


def _marker(labels: NDArray[np.uint16], level: float, rng: np.random.Generator) -> NDArray[np.uint16]:
    """The marker's channel: bodies around the nuclei (Y, X), and the nuclei at a multiple of their level."""
    inside = labels > 0
    body = ndimage.distance_transform_edt(~inside) <= _BODY_PX
    counts = _OFFSET_COUNTS + _BODY_COUNTS * np.where(inside, level, body)
    blurred = ndimage.gaussian_filter(counts, 0.5)
    return np.asarray(np.clip(np.rint(rng.normal(blurred, np.sqrt(blurred))), 0, 65535), np.uint16)
