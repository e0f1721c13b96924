"""Plain folders and single images."""

import pytest

from nucbatch.core.errors import InputError
from nucbatch.core.plate import FileStatus
from nucbatch.readers.contract import ReadOptions
from nucbatch.readers.layouts.folder import FolderReader
from nucbatch.readers.layouts.single import SingleImageReader
from nucbatch.readers.listing import FoundFile, Listing


def listing(*paths: str, single: bool = False) -> Listing:
    return Listing("/nowhere", "things", tuple(FoundFile(path) for path in sorted(paths)), single=single)


def test_each_image_is_a_field_named_after_its_stem():
    plate = FolderReader().read(listing("b c.png", "sub/a.tif", "notes.txt"), ReadOptions())
    assert not plate.is_plate
    assert [(f.well, f.site, f.group, f.name) for f in plate.fields] == [
        ("", 1, "b_c", "b_c"),
        ("", 2, "a", "a"),
    ]
    assert [channel.name for channel in plate.channels] == ["Grey"]


def test_equal_stems_get_different_names():
    plate = FolderReader().read(listing("x/a.tif", "y/a.tif", "a.png"), ReadOptions())
    assert len({field.group for field in plate.fields}) == 3


def test_labels_beside_images_are_annotations():
    plate = FolderReader().read(listing("s/1/images/a.png", "s/1/masks/b.png", "masks/c.png"), ReadOptions())
    status = {record.path: (record.status, record.reason.split(":")[0]) for record in plate.files}
    assert status == {
        "s/1/images/a.png": (FileStatus.USED, ""),
        "s/1/masks/b.png": (FileStatus.IGNORED, "annotation"),
        "masks/c.png": (FileStatus.USED, ""),
    }


def test_a_single_image_is_a_collection_of_one():
    plate = SingleImageReader().read(listing("my slide.tif", single=True), ReadOptions())
    assert (plate.name, plate.is_plate) == ("my_slide", False)
    assert [(field.group, field.site) for field in plate.fields] == [("my_slide", 1)]


def test_an_unsuitable_forced_layout_is_rejected():
    with pytest.raises(InputError, match="needs a folder"):
        FolderReader().read(listing("a.tif", single=True), ReadOptions())
    with pytest.raises(InputError, match="is not one TIFF"):
        SingleImageReader().read(listing("a.tif"), ReadOptions())
