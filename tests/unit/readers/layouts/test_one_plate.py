"""Folders inside a plate, and folders and names that separate plates."""

import re
import shlex

import pytest

from nucbatch.core.errors import InputError
from nucbatch.readers.contract import ReadOptions
from nucbatch.readers.find import known_readers
from nucbatch.readers.layouts.pattern import PatternReader
from nucbatch.readers.listing import FoundFile, Listing


def listing(*paths: str) -> Listing:
    return Listing("/nowhere", "plates", tuple(FoundFile(path) for path in sorted(paths)))


def read(*paths: str, pattern: str = ""):
    """What the first reader that recognises the names makes of them."""
    found = listing(*paths)
    reader = next(reader for reader in known_readers() if pattern or reader.recognise(found))
    return (PatternReader() if pattern else reader).read(found, ReadOptions(pattern=pattern))


def planes(plate) -> str:
    """Well, site, t, channel and z of each plane."""
    return ", ".join(
        f"{field.well} {field.site} {field.t} {plane.channel} {plane.z}"
        for field in plate.fields
        for plane in field.planes
    )


@pytest.mark.parametrize(
    "names",
    [
        ("PlateA/B02_s1_c1.tif", "PlateB/C03_s1_c1.tif"),
        ("PlateA/B02_s1_c1.tif", "PlateA/B03_s1_c1.tif", "PlateB/C03_s1_c1.tif"),
        ("PlateA/Images/B02_DAPI.tif", "PlateB/Images/C03_DAPI.tif"),
        ("PlateA/TimePoint_1/B02_DAPI.tif", "PlateB/TimePoint_1/C03_DAPI.tif"),
        ("P1/B02_DAPI.tif", "P2/B03_DAPI.tif"),
        ("1/B02_DAPI.tif", "2/B04_DAPI.tif", "2/B05_DAPI.tif"),
        ("Channel1-01-A-01.tif", "rerun/Channel1-02-A-02.tif"),
        ("PlateA/Channel1-01-A-01.tif", "PlateB/Channel1-02-A-02.tif"),
        ("PlateA/p_B02_s1_w1.tif", "PlateB/p_C03_s1_w1.tif"),
    ],
)
def test_plates_with_different_wells_are_not_merged(names):
    with pytest.raises(InputError, match=r"holds 2 plates\. Run each alone:\n  nucbatch run /nowhere"):
        read(*names)


def test_a_folder_that_is_the_site_of_some_of_its_files_only_is_a_plate():
    names = [f"{p}/B02_s{s}_c1.tif" for p in ("P1", "P2") for s in (1, 2)]
    with pytest.raises(InputError, match=r"same wells in 2 folders\. Run each alone:\n.*/P1 .*\n.*/P2 "):
        read(*names)


def test_the_message_has_the_command_for_each_plate_and_for_one():
    names = ("Plate A/B02_s1_c1.tif", "Plate B/C03_s1_c1.tif")
    with pytest.raises(InputError) as caught:
        read(*names)
    lines = str(caught.value).splitlines()
    assert lines[1:3] == [
        "  nucbatch run '/nowhere/Plate A' -o out/Plate_A",
        "  nucbatch run '/nowhere/Plate B' -o out/Plate_B",
    ]
    as_one = read(*names, pattern=shlex.split(lines[-1])[-1])
    assert list(as_one.wells()) == ["B02", "C03"]


def test_a_users_pattern_separates_plates_unless_it_spans_folders():
    names = ("PlateA/B02_x.tif", "PlateB/C03_x.tif")
    with pytest.raises(InputError, match="holds 2 plates"):
        read(*names, pattern=r"(?P<well>[A-H]\d\d)_x")
    assert list(read(*names, pattern=r"Plate./(?P<well>[A-H]\d\d)_x").wells()) == ["B02", "C03"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("B02/B02_s1_c1.tif", "C03/C03_s1_c1.tif"), "B02 1 0 1 0, C03 1 0 1 0"),
        (("Well_B02/B02_DAPI.tif", "Well_C3/C03_DAPI.tif"), "B02 1 0 DAPI 0, C03 1 0 DAPI 0"),
        (("B/2/B02_DAPI.tif", "C/3/C03_DAPI.tif"), "B02 1 0 DAPI 0, C03 1 0 DAPI 0"),
        (("row_B/B02_DAPI.tif", "row_C/C03_DAPI.tif"), "B02 1 0 DAPI 0, C03 1 0 DAPI 0"),
        (("B02 DMSO/B02_DAPI.tif", "C03 drug/C03_DAPI.tif"), "B02 1 0 DAPI 0, C03 1 0 DAPI 0"),
        (("TimePoint_1/B02_DAPI.tif", "TimePoint_2/B02_DAPI.tif"), "B02 1 0 DAPI 0, B02 1 1 DAPI 0"),
        (
            ("TimePoint_1/B02_s1_c1.tif", "TimePoint_2/B02_s1_c1.tif"),
            "B02 1 0 1 0, B02 1 1 1 0",
        ),
        (("t0/B02_s1.tif", "t1/B02_s1.tif"), "B02 1 0 Grey 0, B02 1 1 Grey 0"),
        (("DAPI/B02_s1.tif", "GFP/B02_s1.tif"), "B02 1 0 DAPI 0, B02 1 0 GFP 0"),
        (("ch1/B02_s1.tif", "ch2/B02_s1.tif"), "B02 1 0 ch1 0, B02 1 0 ch2 0"),
        (("DAPI/B02_DAPI.tif", "GFP/B02_GFP.tif"), "B02 1 0 DAPI 0, B02 1 0 GFP 0"),
        (("ZStep_1/B02_DAPI.tif", "ZStep_2/B02_DAPI.tif"), "B02 1 0 DAPI 0, B02 1 0 DAPI 1"),
        (("Site_1/B02_DAPI.tif", "Site_2/B02_DAPI.tif"), "B02 1 0 DAPI 0, B02 2 0 DAPI 0"),
        (("s1/B02_s1.tif", "s2/B02_s2.tif"), "B02 1 0 Grey 0, B02 2 0 Grey 0"),
        (("Images/B02_DAPI.tif", "Images/C03_DAPI.tif"), "B02 1 0 DAPI 0, C03 1 0 DAPI 0"),
        (("images_z_00/B02_s1.tif", "images_z_16/B02_s1.tif"), "B02 1 0 Grey 0, B02 1 0 Grey 16"),
        (("exp t1/B02_s1.tif", "exp t2/B02_s1.tif"), "B02 1 0 Grey 0, B02 1 1 Grey 0"),
        (("DAPI_B02_s1.tif", "GFP_B02_s1.tif"), "B02 1 0 DAPI 0, B02 1 0 GFP 0"),
        (("a_ch1_B02_f1.tif", "a_ch2_B02_f1.tif"), "B02 1 0 ch1 0, B02 1 0 ch2 0"),
        (("z1_B02_DAPI.tif", "z2_B02_DAPI.tif"), "B02 1 0 DAPI 0, B02 1 0 DAPI 1"),
        (("s1_B02_DAPI.tif", "s2_B02_DAPI.tif"), "B02 1 0 DAPI 0, B02 2 0 DAPI 0"),
        (("DAPI_r02c03f01.tif", "GFP_r02c03f01.tif"), "B03 1 0 DAPI 0, B03 1 0 GFP 0"),
        (
            ("BBBC006_v1_images_z_00/p_b02_s1_w1.tif", "BBBC006_v1_images_z_16/p_b02_s1_w1.tif"),
            "B02 1 0 w1 0, B02 1 0 w1 16",
        ),
        (("plate_t0/p_B02_w1.tif", "plate_t1/p_B02_w1.tif"), "B02 1 0 w1 0, B02 1 1 w1 0"),
        (("001_B02_DAPI.tif", "002_C03_DAPI.tif"), "B02 1 0 DAPI 0, C03 1 0 DAPI 0"),
    ],
)
def test_folders_of_wells_sites_or_times_are_one_plate(names, expected):
    assert planes(read(*names)) == expected


@pytest.mark.parametrize(
    "names",
    [
        ("PlateA_B02_DAPI.tif", "PlateA_B03_DAPI.tif", "PlateB_C03_DAPI.tif"),
        ("PlateA_B02_s1_c1.tif", "PlateA_B03_s1_c1.tif", "PlateB_B02_s1_c1.tif"),
        ("exp1_B02/B02_DAPI.tif", "exp1_B03/B03_DAPI.tif", "exp2_C03/C03_DAPI.tif"),
    ],
)
def test_text_before_the_well_separates_plates(names):
    with pytest.raises(InputError, match="mixes images of 2 plates by the text beside the well"):
        read(*names)


@pytest.mark.parametrize(
    "names",
    [
        ("PlateA_z1/B02_s1.tif", "PlateA_z1/B03_s1.tif", "PlateB_z1/B02_s1.tif"),
        ("PlateA_z1/p_B02_s1_w1.tif", "PlateB_z1/p_B02_s1_w1.tif"),
        ("PlateA/A/1/DAPI.tif", "PlateB/B/1/DAPI.tif"),
        [f"t{t}/B02_01_1_1_DAPI_00{t_in_name}.tif" for t in (1, 2) for t_in_name in (1, 2)],
        [f"t{t}/TimePoint_{t_in_name}/p_B02_s1_w1.tif" for t in (1, 2) for t_in_name in (1, 2)],
    ],
)
def test_folders_that_differ_before_the_z_step_separate_plates(names):
    with pytest.raises(InputError, match=r"2 (plates|folders)|the folder of one"):
        read(*names)


def test_a_pattern_is_suggested_only_if_it_reads_the_images():
    with pytest.raises(InputError, match="mixes images of 2 plates") as caught:
        read(
            "DAPI_x_B02_s1.tif",
            "DAPI_x_B03_s1.tif",
            "GFP_y_B02_s1.tif",
            "RFP_y_B02_s1.tif",
            "RFP_x_B02_s1.tif",
        )
    assert "--pattern '" not in str(caught.value)


@pytest.mark.parametrize("folders", [("t1", "t2"), ("Site_1", "Site_2"), ("P1", "P2"), ("GFP", "DAPI")])
def test_a_folder_that_contradicts_names_separates_plates(folders):
    names = [f"{folder}/B0{column}_s3_c1_t7.tif" for column, folder in enumerate(folders, start=1)]
    with pytest.raises(InputError, match="holds 2 plates"):
        read(*names)


GALLERY = "images/batch/images/{}__2020-11-08T18_18_13-Measurement1/Images"


@pytest.mark.parametrize("other", [[], [f"{GALLERY.format(p)}/Index.idx.xml" for p in ("P1", "P2")]])
def test_plates_of_the_cell_painting_gallery_are_given_apart(other):
    names = [
        f"{GALLERY.format(plate)}/r01c0{c}f01p01-ch1sk1fk1fl1.tiff" for plate, c in (("P1", 1), ("P2", 2))
    ]
    with pytest.raises(InputError, match="holds 2 measurements of Harmony") as caught:
        read(*names, *other)
    commands = [line.split()[2] for line in str(caught.value).splitlines() if "nucbatch run" in line]
    assert commands == [f"/nowhere/{GALLERY.format(plate)}".removesuffix("/Images") for plate in ("P1", "P2")]


def test_a_table_of_the_images_is_pointed_out():
    plate = read(f"{GALLERY.format('P1')}/r01c01f01p01-ch1sk1fk1fl1.tiff", "workspace/load_data.csv")
    assert "workspace/load_data.csv lists images: give it instead" in plate.remarks[-1]


def test_many_plates_are_not_all_listed():
    with pytest.raises(InputError, match=r"holds 30 plates") as caught:
        read(*(f"plate{i:02d}/Channel1-01-A-{i:02d}.tif" for i in range(1, 31)))
    assert len(re.findall("nucbatch run", str(caught.value))) == 20
    assert "and 10 more" in str(caught.value)
