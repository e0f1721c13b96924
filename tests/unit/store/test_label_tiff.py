"""Label TIFFs: one grey page that other programs read, the same bytes each time."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from nucbatch.core.errors import StoreError
from nucbatch.store.label_tiff import is_label_tiff, write_label_tiff


@pytest.mark.parametrize(("highest", "dtype"), [(0, "uint16"), (65535, "uint16"), (65536, "uint32")])
def test_labels_are_written_in_the_narrowest_type(highest: int, dtype: str, tmp_path: Path) -> None:
    labels = np.zeros((20, 30), np.uint32)
    labels[3:9, 4:9] = highest
    path = tmp_path / "labels" / "a.tif"
    write_label_tiff(path, labels)
    with tifffile.TiffFile(path) as tiff:
        assert len(tiff.pages) == 1
        page = tiff.pages.first
        assert page.dtype == dtype
        assert page.photometric == tifffile.PHOTOMETRIC.MINISBLACK
        assert page.samplesperpixel == 1
        assert not tiff.is_bigtiff
        assert page.tags["Compression"].value == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert (page.asarray() == labels).all()


def test_another_library_reads_the_same_labels(tmp_path: Path) -> None:
    labels = np.arange(600, dtype=np.uint32).reshape(20, 30)
    write_label_tiff(tmp_path / "a.tif", labels)
    with Image.open(tmp_path / "a.tif") as picture:
        assert (np.asarray(picture) == labels).all()


def test_the_same_labels_give_the_same_bytes(tmp_path: Path) -> None:
    labels = np.arange(600, dtype=np.uint32).reshape(20, 30)
    write_label_tiff(tmp_path / "a.tif", labels)
    write_label_tiff(tmp_path / "b.tif", labels)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "b.tif"]


def test_own_files_are_recognised_with_long_tags(tmp_path: Path) -> None:
    write_label_tiff(tmp_path / "a.tif", np.full((9000, 3000), 70_000, np.uint32))
    assert is_label_tiff(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((3, 3), np.uint8))
    assert not is_label_tiff(tmp_path / "b.tif")


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("x")
    with pytest.raises(StoreError, match="labels can't be written"):
        write_label_tiff(tmp_path / "labels" / "a.tif", np.zeros((2, 2), np.uint32))
