"""Inputs as laboratories have them: each is counted, or refused with the mend."""

import zipfile

import numpy as np
import pytest
import tifffile
from golden import fates

from nucbatch.core.errors import InputError
from nucbatch.readers.find import open_plate

GREY = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)


def test_channels_of_two_pixel_types_are_refused_with_both_and_the_mend(tmp_path):
    for well in ("A01", "A02"):
        tifffile.imwrite(tmp_path / f"{well}_s1_DAPI.tif", GREY)
        tifffile.imwrite(tmp_path / f"{well}_s1_GFP.tif", GREY.astype(np.uint8))
    assert fates(open_plate(tmp_path))["A01_s1_GFP.tif"] == (
        "quarantined the planes of its field disagree: this one is uint8 of 64 × 64 px, others are uint16 of "
        "64 × 64 px: export all channels alike"
    )


def test_wells_in_three_spellings_are_wells_and_a_fourth_is_refused_with_the_mend(tmp_path):
    for well in ("a1", "A2", "b01", "A003"):
        tifffile.imwrite(tmp_path / f"{well}_DAPI.tif", GREY)
    plate = open_plate(tmp_path)
    assert [field.well for field in plate.fields] == ["A01", "A02", "B01"]
    assert fates(plate)["A003_DAPI.tif"] == (
        "quarantined an image, but its name does not fit the pattern layout of the others: rename it like "
        "them, or move it out of the input"
    )


def test_archives_beside_images_are_ignored_by_their_own_rule(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY)
    for name in ("a.zip", "b.tar.gz", "c.RAR"):
        (tmp_path / name).write_bytes(b"x")
    said = fates(open_plate(tmp_path))
    for name in ("a.zip", "b.tar.gz", "c.RAR"):
        assert said[name].startswith(
            "ignored archive: an archive or compressed file, which is not read; unpack"
        )


def test_an_archive_alone_is_refused_with_its_name(tmp_path):
    with zipfile.ZipFile(tmp_path / "plate.zip", "w") as archive:
        archive.writestr("a.tif", b"II*\0")
    with pytest.raises(InputError, match=r"no images below .* Unpack plate\.zip\.$"):
        open_plate(tmp_path)


def test_one_export_in_two_formats_is_reported(tmp_path):
    for folder, ending in (("TIFF", "tif"), ("other", "btf")):
        (tmp_path / folder).mkdir()
        for name in ("f0", "f1"):
            tifffile.imwrite(tmp_path / folder / f"{name}.{ending}", GREY)
    plate = open_plate(tmp_path)
    assert len(plate.fields) == 4
    (remark,) = [remark for remark in plate.remarks if "the same names" in remark]
    assert remark.startswith("TIFF and other hold images of the same names in different formats, and each")
    (tmp_path / "other" / "f1.btf").unlink()
    assert not any("the same names" in remark for remark in open_plate(tmp_path).remarks)


def test_colours_of_print_are_refused_with_the_mend(tmp_path):
    pixels = np.zeros((64, 64, 4), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="separated")
    assert fates(open_plate(tmp_path))["a.tif"] == (
        "quarantined its colours are CMYK (4 samples per pixel): convert it to grey or RGB"
    )


@pytest.mark.parametrize("ending", ["jxr", "JXL", "heic", "avif"])
def test_pictures_of_further_formats_are_quarantined(tmp_path, ending):
    tifffile.imwrite(tmp_path / "a.tif", GREY)
    (tmp_path / f"b.{ending}").write_bytes(b"x")
    said = fates(open_plate(tmp_path))[f"b.{ending}"]
    assert said == f"quarantined .{ending.lower()} images can't be decoded: convert them to TIFF or PNG"


def test_a_time_point_that_one_well_lacks_is_reported(tmp_path):
    times = {"A01": (0, 1, 3), "A02": range(4), "A03": range(4)}
    for well, of_well in times.items():
        for t in of_well:
            tifffile.imwrite(tmp_path / f"{well}_s1_t{t}_DAPI.tif", GREY)
    said = (
        "1 of 3 sites lack time points that the others have: A01 site 1 lacks 2 (counted from 0), and there"
    )
    assert [remark.startswith(said) for remark in open_plate(tmp_path).remarks].count(True) == 1
    (tmp_path / "A02_s1_t0_DAPI.tif").unlink()  # most sites differ, as where wells are visited in turns
    assert not any("time points" in remark for remark in open_plate(tmp_path).remarks)
