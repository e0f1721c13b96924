"""Cuts a picture into overlapping fields, written as an ImageXpress plate with stage positions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile

PIXEL_UM = 0.5
STAGE_UM = (12_000.0, 34_000.0)
"""(y, x) of the picture's first pixel on the stage."""

Position = tuple[float, float]
_TEXT = (
    "<MetaData><PlaneInfo>"
    '<prop id="spatial-calibration-state" type="bool" value="on"/>'
    '<prop id="spatial-calibration-x" type="float" value="{size}"/>'
    '<prop id="spatial-calibration-y" type="float" value="{size}"/>'
    '<prop id="spatial-calibration-units" type="string" value="um"/>'
    "{stage}</PlaneInfo></MetaData>"
)
_STAGE = (
    '<prop id="stage-position-x" type="float" value="{x:.4f}"/>'
    '<prop id="stage-position-y" type="float" value="{y:.4f}"/>'
)


def field_side(picture_px: int, fields: int, overlap: float) -> tuple[int, int]:
    """Returns (side of a field, step between fields) in px for a number of fields along a picture."""
    side = int(picture_px / (1 + (fields - 1) * (1 - overlap)))
    return side, (picture_px - side) // (fields - 1) if fields > 1 else 0


def write_fields(
    folder: Path,
    picture: npt.NDArray[np.uint16],
    *,
    fields: tuple[int, int] = (3, 3),
    overlap: float = 0.1,
    well: str = "B02",
    time_point: int = 0,
    z_steps: int = 0,
    error_px: Mapping[int, tuple[int, int]] | None = None,
    stage: Callable[[Position], Position | None] = lambda position: position,
    without: Iterable[int] = (),
    channel: str = "w1",
) -> dict[int, tuple[int, int, int, int]]:
    """Writes the fields of one well as ``plate_B02_s1_w1.TIF`` and so on, site 1 at the top left.

    Args:
        folder: of the plate.
        picture: (Y, X), the whole well.
        fields: rows and columns of fields.
        overlap: part of a field's side that it shares with its neighbour.
        well: name of the well.
        time_point: number of the folder ``TimePoint_N``; 0 for none.
        z_steps: number of the folders ``ZStep_N``; 0 for none. All steps show the same.
        error_px: by site, how far (y, x) the microscope was from the position that it records.
        stage: changes the recorded position (y, x) in µm; None leaves it out.
        without: sites that are not written.
        channel: ending of the file names.

    Returns:
        Box (top, left, bottom, right) of each site in the picture.
    """
    high, down = field_side(picture.shape[0], fields[0], overlap)
    wide, right = field_side(picture.shape[1], fields[1], overlap)
    boxes = {}
    for number in range(fields[0] * fields[1]):
        row, column = divmod(number, fields[1])
        site = number + 1
        y, x = row * down, column * right
        dy, dx = (error_px or {}).get(site, (0, 0))
        top = min(max(y + dy, 0), picture.shape[0] - high)
        left = min(max(x + dx, 0), picture.shape[1] - wide)
        boxes[site] = top, left, top + high, left + wide
        if site in without:
            continue
        position = stage((STAGE_UM[0] + (y + high / 2) * PIXEL_UM, STAGE_UM[1] + (x + wide / 2) * PIXEL_UM))
        recorded = "" if position is None else _STAGE.format(y=position[0], x=position[1])
        for step in range(1, z_steps + 1) if z_steps else [0]:
            parts = [f"TimePoint_{time_point}"] if time_point else []
            parts += [f"ZStep_{step}"] if step else []
            place = folder.joinpath(*parts)
            place.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(
                place / f"plate_{well}_s{site}_{channel}.TIF",
                np.ascontiguousarray(picture[top : top + high, left : left + wide]),
                description=_TEXT.format(size=PIXEL_UM, stage=recorded),
                metadata=None,
            )
    return boxes
