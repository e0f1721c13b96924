"""Pixels that are not square give no pixel size, and a note with both sides."""

import re

import numpy as np
import pytest
import tifffile
import zarr
from golden import all_trees

from nucbatch.readers.find import open_plate

HEIGHT = re.compile(
    r"((?:PhysicalSizeY|pixel_height|VerticalPixelDimension)=\"|<ImageResolutionY[^>]*>)([0-9.Ee-]+)"
)


def stretched(folder) -> int:
    """Doubles the height of pixels in all side files of a folder; returns the number of sizes changed."""
    count = 0
    for file in folder.rglob("*"):
        if file.is_file() and file.suffix not in (".tif", ".tiff", ".npy"):
            text, found = HEIGHT.subn(
                lambda match: match[1] + repr(2 * float(match[2])), file.read_bytes().decode("latin-1")
            )
            file.write_bytes(text.encode("latin-1"))
            count += found
    return count


@pytest.mark.parametrize(
    "name",
    [
        "CQ1, OME-XML",
        "CellVoyager CV8000, lost field",
        "Harmony V5",
        "Harmony V7, time points",
        "IN Cell with .xdce",
        "OME-TIFF plate with a companion file",
        "ScanR 3.3",
    ],
)
def test_side_files_of_pixels_that_are_not_square_give_no_size(tmp_path, name):
    tree = next(tree for tree in all_trees() if tree.name == name)
    given = tree.build(tmp_path)
    assert stretched(tmp_path)
    plate = tree.open(tmp_path, given)
    assert {field.pixel_size_um for field in plate.fields if not field.problem} == {None}
    assert [remark for remark in plate.remarks if remark.startswith("Pixels are not square")]


@pytest.mark.parametrize("imagej", [False, True])
def test_a_tiff_of_pixels_that_are_not_square_gives_no_size(tmp_path, imagej):
    options = (
        {"imagej": True, "metadata": {"unit": "um"}, "resolution": (2, 1)}
        if imagej
        else {"resolution": (20_000, 10_000), "resolutionunit": "CENTIMETER", "metadata": None}
    )
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.uint16), **options)
    plate = open_plate(tmp_path)
    assert plate.fields[0].pixel_size_um is None
    (remark,) = plate.remarks
    assert "0.5 µm across and 1 µm down (image files)" in remark
    assert open_plate(tmp_path, pixel_size_um=0.5).remarks == ()


def test_a_zarr_of_pixels_that_are_not_square_gives_no_size(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3)
    group.create_array("0", data=np.zeros((8, 8), np.uint16))
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"]
    steps = [{"type": "scale", "scale": [1.0, 0.5]}]
    levels = [{"path": "0", "coordinateTransformations": steps}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": levels}]}
    plate = open_plate(tmp_path / "a.zarr")
    assert plate.fields[0].pixel_size_um is None
    assert "0.5 µm across and 1 µm down" in plate.remarks[0]
