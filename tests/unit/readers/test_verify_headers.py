"""Headers decide which files can be used; wells and fields stay listed."""

import os
from dataclasses import replace

import numpy as np
import tifffile

from nucbatch.core.plate import FileStatus
from nucbatch.readers.contract import ReadOptions
from nucbatch.readers.find import open_plate
from nucbatch.readers.layouts.pattern import PatternReader
from nucbatch.readers.listing import scan
from nucbatch.readers.pixels import field_channels, read_field
from nucbatch.readers.read_timeout import hanging
from nucbatch.readers.verify_headers import verified
from nucbatch.synthetic.overlapping_fields import PIXEL_UM, write_fields

PATTERN = r"(?P<well>[A-H]\d\d)_(?P<channel>\w)\.tif"


def write(root, **images):
    for name, (shape, dtype) in images.items():
        tifffile.imwrite(
            root / f"{name}.tif", np.zeros(shape, dtype), photometric="rgb" if shape[-1] == 3 else None
        )


def fates(plate) -> dict[str, str]:
    return {record.path: f"{record.status.value} {record.reason}".strip() for record in plate.files}


def test_sizes_and_types_come_from_headers(tmp_path):
    write(
        tmp_path,
        A01_a=((8, 9), "uint16"),
        A01_b=((8, 9), "uint16"),
        A02_a=((5, 5), "uint8"),
        A02_b=((5, 5), "uint8"),
    )
    plate = open_plate(tmp_path, pattern=PATTERN, pixel_size_um=0.65)
    assert [(f.height_px, f.width_px, f.dtype, f.pixel_size_um, f.problem) for f in plate.fields] == [
        (8, 9, "uint16", 0.65, ""),
        (5, 5, "uint8", 0.65, ""),
    ]


def test_a_given_pixel_size_that_the_files_contradict_is_told(tmp_path):
    write_fields(tmp_path, np.zeros((64, 64), np.uint16), fields=(2, 2))
    (remark,) = open_plate(tmp_path, pixel_size_um=2 * PIXEL_UM).remarks
    assert f"{2 * PIXEL_UM:g} µm, is used instead of that in the files, {PIXEL_UM:g} µm (4 fields)" in remark
    assert open_plate(tmp_path, pixel_size_um=1.005 * PIXEL_UM).remarks == ()
    assert open_plate(tmp_path).remarks == ()


def test_a_truncated_file_leaves_its_well_listed(tmp_path):
    write(tmp_path, **{f"A0{c}_{x}": ((16, 16), "uint16") for c in (1, 2, 3) for x in "ab"})
    whole = (tmp_path / "A02_b.tif").read_bytes()
    (tmp_path / "A02_b.tif").write_bytes(whole[:-7])
    plate = open_plate(tmp_path, pattern=PATTERN)
    assert list(plate.wells()) == ["A01", "A02", "A03"]
    assert [[channel for channel, _ in f.lacking] for f in plate.fields] == [[], ["b"], []]
    assert plate.fields[1].lacking[0][1].startswith("A02_b.tif: truncated")
    said = fates(plate)
    assert said["A02_b.tif"].startswith("quarantined truncated")
    assert [path for path, fate in said.items() if fate == "used"] == [
        "A01_a.tif",
        "A01_b.tif",
        "A02_a.tif",
        "A03_a.tif",
        "A03_b.tif",
    ]


def test_the_majority_of_a_fields_planes_wins(tmp_path):
    write(tmp_path, A01_a=((8, 8), "uint16"), A01_b=((8, 8), "uint16"), A01_c=((8, 8), "uint8"))
    plate = open_plate(tmp_path, pattern=PATTERN)
    said = fates(plate)
    assert said["A01_c.tif"] == (
        "quarantined uint8 of 8 × 8 px, but the other planes of its field are uint16 of 8 × 8 px"
    )
    assert said["A01_a.tif"] == said["A01_b.tif"] == "used"
    assert [channel for channel, _ in plate.fields[0].lacking] == ["c"]


def test_a_channel_that_lost_a_z_step_is_lacking(tmp_path):
    steps = r"(?P<well>[A-H]\d\d)_(?P<channel>\w)_(?P<z>\d)\.tif"
    write(tmp_path, **{f"A01_{c}_{z}": ((16, 16), "uint16") for c in "ab" for z in (1, 2)})
    (tmp_path / "A01_b_1.tif").write_bytes(b"")
    plate = open_plate(tmp_path, pattern=steps)
    assert [plane.path for plane in plate.fields[0].planes] == ["A01_a_1.tif", "A01_a_2.tif"]
    assert plate.fields[0].lacking == (("b", "A01_b_1.tif: empty file (0 bytes)"),)
    assert fates(plate)["A01_b_2.tif"].startswith("ignored incomplete-field: ")


def test_a_tie_quarantines_all_planes(tmp_path):
    write(tmp_path, A01_a=((8, 8), "uint16"), A01_b=((4, 8), "uint16"))
    plate = open_plate(tmp_path, pattern=PATTERN)
    assert all(
        fate.startswith("quarantined the planes of its field disagree") for fate in fates(plate).values()
    )
    assert (plate.fields[0].height_px, plate.fields[0].planes) == (0, ())


def test_rgb_in_a_multichannel_plate_is_quarantined(tmp_path):
    write(tmp_path, A01_a=((8, 8, 3), "uint8"), A01_b=((8, 8), "uint8"))
    plate = open_plate(tmp_path, pattern=PATTERN)
    assert fates(plate)["A01_a.tif"].startswith("quarantined an RGB image instead of a single grey channel")


def test_grey_and_rgb_images_share_a_folder(tmp_path):
    write(tmp_path, grey=((4, 6), "uint16"), rgb=((5, 7, 3), "uint8"))
    plate = open_plate(tmp_path)
    assert [channel.name for channel in plate.channels] == ["Grey", "Red", "Green", "Blue"]
    arrays = [read_field(plate.root, field, field_channels(plate, field)) for field in plate.fields]
    assert [(array.shape, array.dtype.name) for array in arrays] == [
        ((1, 4, 6), "uint16"),
        ((3, 5, 7), "uint8"),
    ]
    assert [record.channel for record in plate.files] == ["Grey", "RGB"]


def test_a_folder_of_rgb_has_no_grey(tmp_path):
    write(tmp_path, a=((5, 7, 3), "uint8"))
    assert [channel.name for channel in open_plate(tmp_path).channels] == ["Red", "Green", "Blue"]


def test_a_folder_without_readable_images_is_recorded(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"")
    plate = open_plate(tmp_path)
    assert fates(plate) == {"a.tif": "quarantined empty file (0 bytes)"}
    assert plate.files[0].status is FileStatus.QUARANTINED
    assert [(f.name, f.problem) for f in plate.fields] == [("a", "a.tif: empty file (0 bytes)")]


SITES = r"(?P<well>[A-H]\d\d)_(?P<site>\d)\.tif"


def test_a_field_of_another_size_than_its_wells_is_quarantined(tmp_path):
    big, small, deep = ((8, 8), "uint16"), ((4, 4), "uint16"), ((8, 8), "float32")
    write(tmp_path, A01_1=big, A01_2=small, A01_3=big, A02_1=big, A02_2=deep, A03_1=small)
    plate = open_plate(tmp_path, pattern=SITES)
    said = {path: fate for path, fate in fates(plate).items() if fate != "used"}
    but = "but the other fields of its well are uint16 of 8 × 8 px"
    assert said == {
        "A01_2.tif": f"quarantined uint16 of 4 × 4 px, {but}",
        "A02_2.tif": f"quarantined float32 of 8 × 8 px, {but}",
    }
    assert [field.name[-6:] for field in plate.fields if field.problem] == ["A01_s2", "A02_s2"]


def test_regions_of_different_sizes_are_allowed(tmp_path):
    write(tmp_path, **{f"A01_{n}": ((n + 2, 9 - n), "uint8") for n in range(1, 5)})
    assert set(fates(open_plate(tmp_path, pattern=SITES)).values()) == {"used"}


def test_a_hanging_file_does_not_affect_other_headers(tmp_path):
    """A pipe takes the place of a file that was listed: every open of it waits for a writer."""
    write(tmp_path, **{f"A01_{x}": ((8, 8), "uint16") for x in "abc"})
    listing = scan(tmp_path)
    plate = PatternReader().read(listing, ReadOptions(pattern=PATTERN))
    (tmp_path / "A01_b.tif").unlink()
    os.mkfifo(tmp_path / "A01_b.tif")
    said = fates(verified(replace(plate, read_timeout_s=0.5)))
    assert said["A01_b.tif"].startswith("quarantined not read within 0.5 s: the disk or network share")
    assert said["A01_a.tif"] == said["A01_c.tif"] == "used"
    with (tmp_path / "A01_b.tif").open("wb"):  # lets it go
        pass
    while hanging():
        pass


def test_a_damaged_file_affects_its_own_field_only(tmp_path):
    write(
        tmp_path, **{f"{row}{column:02d}_s1": ((4, 4), "uint8") for row in "ABCD" for column in range(1, 25)}
    )
    for name in ("A01_s1", "B13_s1", "D24_s1"):
        (tmp_path / f"{name}.tif").write_bytes(b"II*\0")
    plate = open_plate(tmp_path)
    assert [field.name[-6:] for field in plate.fields if field.problem] == ["A01_s1", "B13_s1", "D24_s1"]
    assert [field.height_px for field in plate.fields if not field.problem] == [4] * 93
