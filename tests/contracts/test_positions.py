"""Positions as vendors write them: fields put where they lie give the picture that they were cut from."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from golden import cellvoyager, harmony

from nucbatch.experiment.field_layout import FieldRectangle, overlap_of
from nucbatch.readers.find import open_plate
from nucbatch.synthetic.overlapping_fields import PIXEL_UM, write_fields

PICTURE = np.arange(90 * 120, dtype=np.uint16).reshape(90, 120)
ROWS, COLUMNS, SIDE_PX, STEP_PX = 2, 3, 50, (40, 35)
FIELDS = {
    1 + row * COLUMNS + column: (row * STEP_PX[0], column * STEP_PX[1])
    for row in range(ROWS)
    for column in range(COLUMNS)
}
"""(top, left) in px of each field in the picture, by its number."""


def offset_um(field: int) -> tuple[float, float]:
    """(down, right) of a field's centre from the picture's in µm."""
    top, left = FIELDS[field]
    return (top + SIDE_PX / 2 - 45) * PIXEL_UM, (left + SIDE_PX / 2 - 60) * PIXEL_UM


def cut(field: int) -> np.ndarray:
    top, left = FIELDS[field]
    return np.ascontiguousarray(PICTURE[top : top + SIDE_PX, left : left + SIDE_PX])


def write_imagexpress(folder: Path) -> Path:
    write_fields(folder, PICTURE, fields=(ROWS, COLUMNS), overlap=0.2)
    return folder


def write_cellvoyager(folder: Path) -> Path:
    names = {field: f"plate_B03_T0001F{field:03}L01A01Z01C01.tif" for field in FIELDS}
    for field, name in names.items():
        tifffile.imwrite(folder / name, cut(field))
    records = [
        cellvoyager.record(name, X=offset_um(field)[1], Y=-offset_um(field)[0])
        for field, name in names.items()
    ]
    cellvoyager.write_side_files(folder, records, size_um=PIXEL_UM)
    return folder


def write_harmony(folder: Path, version: str) -> Path:
    listed = [((2, 3, field, 1, 1, 1), harmony.old_name((2, 3, field, 1, 1, 1))) for field in FIELDS]
    for place, name in listed:
        tifffile.imwrite(folder / name, cut(place[2]))
    text = harmony.index(listed, version, pixel_m=PIXEL_UM * 1e-6)

    def placed(image: re.Match[str]) -> str:
        down_um, right_um = offset_um(int(re.search(r"<FieldID>(\d+)", image[0])[1]))
        position = (
            f'<PositionX Unit="m">{right_um * 1e-6!r}</PositionX><PositionY Unit="m">{-down_um * 1e-6!r}'
        )
        return re.sub(r"<PositionX .*?(?=</PositionY>)", position, image[0])

    index = re.sub(r"<Image Version.*?</Image>", placed, text, flags=re.DOTALL)
    (folder / ("Index.idx.xml" if version == "V5" else "Index.xml")).write_text(index, encoding="utf-8-sig")
    return folder


WRITERS: dict[str, Callable[[Path], Path]] = {
    "ImageXpress": write_imagexpress,
    "CellVoyager": write_cellvoyager,
    "Harmony V5": lambda folder: write_harmony(folder, "V5"),
    "Harmony V7": lambda folder: write_harmony(folder, "V7"),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_fields_put_where_they_lie_give_the_picture(tmp_path, write):
    plate = open_plate(write(tmp_path))
    rectangles = [FieldRectangle.of(field) for field in plate.fields]
    top, left = min(one.top for one in rectangles), min(one.left for one in rectangles)
    montage = np.zeros_like(PICTURE)
    for field, one in zip(plate.fields, rectangles, strict=True):
        y, x = (round(value / one.pixel_um) for value in (one.top - top, one.left - left))
        pixels = tifffile.imread(Path(plate.root, field.planes[0].path))
        montage[y : y + field.height_px, x : x + field.width_px] = pixels
    assert rectangles[0].pixel_um == pytest.approx(PIXEL_UM)
    assert (montage == PICTURE).all()
    assert 0.15 < overlap_of(plate.fields) < 0.35
