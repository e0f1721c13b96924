"""Copies by an operating system are no images of their own, and never a channel."""

import shutil
from pathlib import Path

import pytest
from golden import all_trees, ignored, quarantined, summary, write_images

from nucbatch.readers.copies import original_stem
from nucbatch.readers.find import open_plate

NAMES = (
    "{} (1)",
    "{}(2)",
    "{} - Copy",
    "{} - Copy (2)",
    "{} copy",
    "{} copy 2",
    "{}_copy",
    "Copy of {}",
    "{} - Kopie",
)
NAMED = (
    "Broad, running number",
    "BD Pathway",
    "ScanR 3.3",
    "ScanR, names alone",
    "Squid, names alone",
    "IN Cell, names alone",
    "ImageXpress",
    "Harmony V5",
    "OME-TIFF, a file for each channel",
)
TREES = [tree for tree in all_trees() if tree.name in NAMED]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_copies(name):
    assert original_stem(name.format("B02 DAPI")) == "B02 DAPI"


@pytest.mark.parametrize(
    "name", ["B02", "x_1", "x (12345)", "photocopy", "A - 1(fld 1 wv UV - DAPI)", "x (a)"]
)
def test_other_names(name):
    assert original_stem(name) == ""


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: tree.name)
@pytest.mark.parametrize("name", [NAMES[0], NAMES[2], NAMES[7]])
def test_copies_change_no_plate(tmp_path, tree, name):
    given = tree.build(tmp_path)
    before = tree.open(tmp_path, given)
    used = [record.path for record in before.files if record.status.value == "used"]
    for path in used:
        file = Path(before.root, path)
        shutil.copy(file, file.with_stem(name.format(file.stem)))
    after = tree.open(tmp_path, given)
    assert after.fields == before.fields
    assert after.channels == before.channels
    assert len([rule for rule in ignored(after).values() if rule == "copy"]) == len(used)


def test_a_copy_with_other_pixels_is_quarantined(tmp_path):
    write_images(tmp_path, ["x.tif", "x (1).tif", "y.tif"])
    assert quarantined(open_plate(tmp_path)) == {
        "x (1).tif": "named as a copy of x.tif, but not the same: rename it if it is an image of its own"
    }


def test_images_that_are_numbered_like_copies_are_images(tmp_path):
    write_images(tmp_path, ["Snap.tif", *(f"Snap ({number}).tif" for number in range(1, 5))])
    assert summary(open_plate(tmp_path)).files == (5, 0, 0)
