"""Which reader gets the input, and what is said when none does."""

import numpy as np
import pytest
import tifffile

from nucbatch.errors import InputError, InputNotFound
from nucbatch.readers.find import known_readers, open_plate

PIXELS = np.zeros((8, 8), np.uint8)


def write(root, *names):
    for name in names:
        tifffile.imwrite(root / name, PIXELS)


def test_readers_are_asked_from_the_most_to_the_least_particular():
    ours = ["manifest", "single", "omezarr", "imagexpress", "pattern", "folder"]
    readers = known_readers()
    assert [reader.name for reader in readers if reader.name in ours] == ours
    assert [reader.priority for reader in readers] == sorted(reader.priority for reader in readers)


@pytest.mark.parametrize(
    ("names", "layout"),
    [
        (["p_B02_s1_w1.tif", "p_B02_s1_w2.tif"], "imagexpress"),
        (["Channel1-01-A-01.tif"], "pattern"),
        (["cat.tif", "dog.tif"], "folder"),
    ],
)
def test_layouts_are_found_unasked(tmp_path, names, layout):
    write(tmp_path, *names)
    assert open_plate(tmp_path).layout == layout
    assert open_plate(tmp_path / names[0]).layout == "single"


def test_a_layout_can_be_forced(tmp_path):
    write(tmp_path, "p_B02_s1_w1.tif")
    assert open_plate(tmp_path, layout="folder").layout == "folder"
    assert open_plate(tmp_path, pattern=r"_(?P<well>B\d\d)_").layout == "pattern"


def test_what_cannot_be_opened_says_how_to_mend_it(tmp_path):
    with pytest.raises(InputNotFound, match="does not exist"):
        open_plate(tmp_path / "gone")
    with pytest.raises(
        InputError,
        match=r"'czi' is not known: use one of manifest, single, omezarr, imagexpress, .*pattern",
    ):
        open_plate(tmp_path, layout="czi")
    with pytest.raises(InputError, match=r"no images below .*: 0 files found"):
        open_plate(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=r"no images below .*: 1 file found"):
        open_plate(tmp_path)
    with pytest.raises(InputError, match=r"notes\.txt is no TIFF, SVS, PNG, JPEG, OME-Zarr or manifest CSV"):
        open_plate(tmp_path / "notes.txt")
    with pytest.raises(InputError, match="leave one out"):
        open_plate(tmp_path, layout="folder", pattern="(?P<well>.)")
    with pytest.raises(InputError, match="a pixel size of -1"):
        open_plate(tmp_path, pixel_size_um=-1)
