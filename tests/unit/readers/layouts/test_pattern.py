"""The user's regexes and the built-in patterns."""

import re

import pytest

from nucbatch.core.errors import InputError
from nucbatch.core.plate import FileStatus
from nucbatch.readers.contract import ReadOptions
from nucbatch.readers.layouts.name_pattern import compiled, parse
from nucbatch.readers.layouts.pattern import BUILT_IN, PatternReader
from nucbatch.readers.listing import FoundFile, Listing


def listing(*paths: str) -> Listing:
    return Listing("/nowhere", "plate", tuple(FoundFile(path) for path in sorted(paths)))


def read(*paths: str, pattern: str = ""):
    return PatternReader().read(listing(*paths), ReadOptions(pattern=pattern))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plate_B03_s2_c3_z4_t5.tif", ("B03", 2, "3", 4, 5)),
        ("B03_f01_ch2.png", ("B03", 1, "2", 1, 1)),
        ("exp_B03_ch2_s3_z4.tif", ("B03", 3, "2", 4, 1)),
        ("B03_t5_DAPI_site3.ome.tif", ("B03", 3, "DAPI", 1, 5)),
        ("B03_z4_s3.tif", ("B03", 3, "", 4, 1)),
        ("Well B03 Field 3 DAPI.tif", ("B03", 3, "DAPI", 1, 1)),
        ("exp 1 well_B03 ch 2 pos 3 z 4.tif", ("B03", 3, "2", 4, 1)),
        ("sub/B03_DAPI.tif", ("B03", 1, "DAPI", 1, 1)),
        ("exp-b3-07-Hoechst33342.TIFF", ("B03", 7, "Hoechst33342", 1, 1)),
    ],
)
def test_built_in_patterns(name, expected):
    reader = PatternReader()
    lower = name.replace(".TIFF", ".tiff")
    assert reader.recognise(listing(lower))
    found = [parse(re.compile(pattern), lower) for pattern in BUILT_IN.values()]
    parts = next(part for part in found if part is not None)
    assert (parts.well, parts.site, parts.channel, parts.z, parts.t) == expected


@pytest.mark.parametrize(
    "name", ["holiday.jpg", "img_001.tif", "p_D08_T0001F001L01A01Z01C01.tif", "r01c02f01p01-ch1.tif"]
)
def test_other_names_match_no_built_in_pattern(name):
    assert not PatternReader().recognise(listing(name))


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(?P<well>", "no regular expression"),
        ("(?P<channel>.)", "does not say which image a file belongs to"),
        ("(?P<row>.)", "has a row or a column, but not both"),
        ("(?P<well>.)(?P<colour>.)", "unknown groups colour"),
    ],
)
def test_an_invalid_pattern_gives_the_remedy(pattern, said):
    with pytest.raises(InputError, match=said):
        compiled(pattern)


def test_rows_may_be_numbers_and_groups_may_match_folders():
    plate = read(
        "DAPI/r03c11f1.tif",
        "GFP/r03c11f1.tif",
        pattern=r"(?P<channel>\w+)/r(?P<row>\d+)c(?P<column>\d+)f(?P<field>\d)",
    )
    (field,) = plate.fields
    assert (field.well, field.group) == ("C11", "C/11/1")
    assert [plane.channel for plane in field.planes] == ["DAPI", "GFP"]


@pytest.mark.parametrize(
    ("names", "pattern", "wells"),
    [
        (("r01c02.tif", "r03c11.tif"), r"r(?P<row>\d+)c(?P<column>\d+)", ["A02", "C11"]),
        (("r00c01.tif", "r02c10.tif"), r"r(?P<row>\d+)c(?P<column>\d+)", ["A02", "C11"]),
        (("r01c00.tif", "r03c10.tif"), r"r(?P<row>\d+)c(?P<column>\d+)", ["B01", "D11"]),
        (("A00.tif", "C10.tif"), r"(?P<row>[A-H])(?P<column>\d+)", ["A01", "C11"]),
        (("r32c48.tif", "r01c01.tif"), r"r(?P<row>\d+)c(?P<column>\d+)", ["A01", "AF48"]),
        (("W0001.tif", "W0021.tif"), r"W(?P<well_of_96>\d+)", ["A01", "B09"]),
        (("W0000.tif", "W0020.tif"), r"W(?P<well_of_96>\d+)", ["A01", "B09"]),
        (("W0021.tif", "W0384.tif"), r"W(?P<well_of_384>\d+)", ["A21", "P24"]),
        (("W1.tif", "W6.tif"), r"W(?P<well_of_6>\d+)", ["A01", "B03"]),
    ],
)
def test_wells_may_be_numbers_from_zero_or_one(names, pattern, wells):
    plate = read(*names, pattern=pattern)
    assert list(plate.wells()) == wells
    assert all(record.status is FileStatus.USED for record in plate.files)


def test_images_without_wells_are_identified_by_site():
    plate = read(
        "mouse 1_DAPI.tif",
        "mouse 1_gfp.tif",
        "mouse 10_DAPI.tif",
        "mouse 10_GFP.tif",
        "mouse 2_DAPI.tif",
        "mouse 2_GFP.tif",
        pattern=r"^(?P<site>.+)_(?P<channel>\w+)\.",
    )
    assert not plate.is_plate
    assert [(field.well, field.site, field.name) for field in plate.fields] == [
        ("", 1, "mouse_1"),
        ("", 2, "mouse_2"),
        ("", 3, "mouse_10"),
    ]
    assert [channel.name for channel in plate.channels] == ["DAPI", "GFP"]
    assert not any(field.problem for field in plate.fields)
    times = read("s0_t1.tif", "s0_t2.tif", "s1_t1.tif", pattern=r"s(?P<site>\d)_t(?P<t>\d)")
    assert [(field.site, field.t, field.name) for field in times.fields] == [
        (1, 0, "plate_0_t0"),
        (1, 1, "plate_0_t1"),
        (2, 0, "plate_1_t0"),
    ]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (
            r"W(?P<well>\d+)",
            r"fits 2 of 2 images .* W0021\.tif: the well '0021' is a number: name the group well_of_96",
        ),
        (r"(?P<well>W\d+)", r"fits 2 of 2 images .* the well 'W0021' is a number"),
        (r"W(?P<well_of_6>\d+)", r"well 0021 is not on a plate of 6 wells"),
        (r"(?P<well_of_96>W\d+)", r"'W0021' is no number, as the group well_of_96 says"),
        (r"w(?P<well_of_96>\d+)", r"fits none of the 2 images .* case counts unless it begins with \(\?i\)"),
        (r"(?P<well>.)(?P<well_of_96>.)", "has two groups for the well, well and well_of_96"),
        (r"(?P<well>.)(?P<site>.)(?P<field>.)", "site and field, which mean the same"),
    ],
)
def test_invalid_groups_are_reported(pattern, said):
    with pytest.raises(InputError, match=said):
        read("W0021.tif", "W0022.tif", pattern=pattern)


@pytest.mark.parametrize(
    "names",
    [
        ("B03_s1_c1.TIF", "B03_s1_c2.TIF"),
        ("b03_S1_C1.tif", "b03_S1_C2.tif"),
        ("B03_s1_c1.ome.tif", "B03_s1_c2.ome.tif"),
        ("x_B03_f1_ch1.OME.TIFF", "x_B03_f1_ch2.OME.TIFF"),
        ("B03_1_DAPI.TIF", "B03_1_gfp.TIF"),
    ],
)
def test_built_in_patterns_ignore_case_and_know_ome_tiff(names):
    assert PatternReader().recognise(listing(*names))
    (field,) = read(*names).fields
    assert (field.well, len(field.planes), field.problem) == ("B03", 2, "")


def test_built_in_patterns_reach_the_last_well_of_1536():
    names = [f"{well}_s1_c{c}.tif" for well in ("A01", "P24", "Q25", "AF48") for c in (1, 2)]
    assert list(read(*names).wells()) == ["A01", "P24", "Q25", "AF48"]
    assert not PatternReader().recognise(listing("X01_Y01.tif", "X02_Y01.tif", "X01_Y02.tif"))


def test_a_letter_and_number_before_a_word_are_not_a_well():
    assert not PatternReader().recognise(listing("M1_control.tif", "M1_treated.tif", "M2_control.tif"))
    assert PatternReader().recognise(listing("M1_DAPI.tif", "M2_DAPI.tif"))
    assert PatternReader().recognise(listing("M01_treated.tif", "M02_treated.tif"))
    assert not PatternReader().recognise(listing("M01_treated.tif", "M02_control.tif", "M03_control.tif"))


@pytest.mark.parametrize(
    "names",
    [
        ("E06_P01.tif", "E06_P02.tif", "F07_P01.tif", "F07_P02.tif"),
        ("x_F01_B02.tif", "x_F01_B03.tif", "x_F02_B02.tif"),
        ("B02_rep1.tif", "B02_rep2.tif", "B03_rep1.tif"),
    ],
)
def test_a_number_that_may_count_anything_is_not_a_channel(names):
    assert not PatternReader().recognise(listing(*names))
    assert PatternReader().recognise(listing("E06_A488.tif", "E06_A647.tif", "F07_C2.tif"))
    assert PatternReader().recognise(listing("E06_CD3.tif", "E06_CD45.tif", "E06_p53.tif"))


@pytest.mark.parametrize("letter", ["f", "C", "p"])
def test_one_letter_that_may_mean_a_field_or_a_cell_is_not_a_row(letter):
    names = [f"{letter}{number}_{stain}.tif" for number in (1, 2) for stain in ("DAPI", "GFP")]
    assert not PatternReader().recognise(listing(*names))
    assert PatternReader().recognise(listing(*names, "D1_DAPI.tif", "D1_GFP.tif"))
    assert PatternReader().recognise(listing(f"{letter}01_DAPI.tif", f"{letter}02_DAPI.tif"))


def test_channel_names_ignore_case():
    plate = read("B03_DAPI.tif", "B04_dapi.tif", "B05_DAPI.tif")
    assert [channel.name for channel in plate.channels] == ["DAPI"]


def test_numbers_from_zero_are_counted_from_one():
    plate = read("B03_s0.tif", "B03_s1.tif", pattern=r"(?P<well>B\d+)_s(?P<site>\d)")
    assert [(field.site, field.planes[0].path) for field in plate.fields] == [
        (1, "B03_s0.tif"),
        (2, "B03_s1.tif"),
    ]
    assert [channel.name for channel in plate.channels] == ["Grey"]


def test_names_that_do_not_match_are_quarantined():
    plate = read("B03.tif", "overview.tif", "Z99.tif", "n.txt", pattern=r"^(?P<well>[A-Z]\d\d)")
    assert {record.path: record.status for record in plate.files} == {
        "B03.tif": FileStatus.USED,
        "Z99.tif": FileStatus.QUARANTINED,
        "overview.tif": FileStatus.QUARANTINED,
        "n.txt": FileStatus.IGNORED,
    }
    assert [field.well for field in plate.fields] == ["B03"]


def test_a_pattern_that_fits_nothing_shows_a_name():
    with pytest.raises(InputError, match=r"fits none of the 1 image below plate: the first is a\.tif"):
        read("a.tif", pattern=r"(?P<well>Q\d)")
    with pytest.raises(InputError, match="no built-in pattern"):
        read("a.tif")


def test_several_plates_are_rejected():
    with pytest.raises(
        InputError, match=r"same wells in 2 folders. Run each alone:\n  nucbatch run /nowhere/p1 -o out/p1\n"
    ):
        read("p1/A01_DAPI.tif", "p2/A01_DAPI.tif")
    with pytest.raises(InputError, match=r"holds 2 plates by the pattern's group plate \(p1, p2\)"):
        read("p1/A01.tif", "p2/B01.tif", pattern=r"(?P<plate>\w+)/(?P<well>\w+)")


def test_a_well_of_column_0_is_rejected_because_the_others_would_move():
    paths = [f"{row}{column:02d}.tif" for row in "AB" for column in range(3)]
    listing = Listing("/nowhere", "p", tuple(FoundFile(path) for path in paths))
    with pytest.raises(InputError, match=r"counts the columns of its wells from 0.*\?P<column>"):
        PatternReader().read(listing, ReadOptions(pattern=r"(?P<well>[A-H]\d\d)"))
    plate = PatternReader().read(listing, ReadOptions(pattern=r"(?P<row>[A-H])(?P<column>\d\d)"))
    assert list(plate.wells()) == ["A01", "A02", "A03", "B01", "B02", "B03"]
