"""Regexes from users, and the patterns found unasked."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucbatch.errors import InputError
from nucbatch.plate import FileStatus, well_name
from nucbatch.readers.contract import ReadOptions
from nucbatch.readers.listing import FoundFile, Listing
from nucbatch.readers.pattern import BUILT_IN, PatternReader, compiled, parse


def listing(*paths: str) -> Listing:
    return Listing("/nowhere", "plate", tuple(FoundFile(path) for path in sorted(paths)))


def read(*paths: str, pattern: str = ""):
    return PatternReader().read(listing(*paths), ReadOptions(pattern=pattern))


@given(st.integers(1, 9), st.integers(1, 96), st.sampled_from("ABCDEFGHP"), st.integers(1, 24))
def test_running_numbers_are_never_wells(channel, running, row, column):
    parts = parse(
        re.compile(BUILT_IN["running number"]), f"x/Channel{channel}-{running:02d}-{row}-{column:02d}.tif"
    )
    assert (parts.well, parts.channel, parts.site) == (well_name(row, column), f"Channel{channel}", 1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Channel2-01-A-01.tif", ("A01", 1, "Channel2", 1, 1)),
        ("plate_B03_s2_c3_z4_t5.tif", ("B03", 2, "3", 4, 5)),
        ("B03_f01_ch2.png", ("B03", 1, "2", 1, 1)),
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
def test_other_names_are_left_to_others(name):
    assert not PatternReader().recognise(listing(name))


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(?P<well>", "no regular expression"),
        ("(?P<channel>.)", "does not say where the well stands"),
        ("(?P<row>.)", "does not say where the well stands"),
        ("(?P<well>.)(?P<colour>.)", "unknown groups colour"),
    ],
)
def test_a_bad_pattern_says_how_to_mend_it(pattern, said):
    with pytest.raises(InputError, match=said):
        compiled(pattern)


def test_rows_may_be_numbers_and_paths_may_tell():
    plate = read(
        "DAPI/r03c11f1.tif",
        "GFP/r03c11f1.tif",
        pattern=r"(?P<channel>\w+)/r(?P<row>\d+)c(?P<column>\d+)f(?P<field>\d)",
    )
    (field,) = plate.fields
    assert (field.well, field.group) == ("C11", "C/11/1")
    assert [plane.channel for plane in field.planes] == ["DAPI", "GFP"]


def test_numbers_from_zero_are_counted_from_one():
    plate = read("B03_s0.tif", "B03_s1.tif", pattern=r"(?P<well>B\d+)_s(?P<site>\d)")
    assert [(field.site, field.planes[0].path) for field in plate.fields] == [
        (1, "B03_s0.tif"),
        (2, "B03_s1.tif"),
    ]
    assert [channel.name for channel in plate.channels] == ["Grey"]


def test_what_does_not_match_is_quarantined():
    plate = read("B03.tif", "overview.tif", "Z99.tif", "n.txt", pattern=r"^(?P<well>[A-Z]\d\d)")
    assert {record.path: record.status for record in plate.files} == {
        "B03.tif": FileStatus.USED,
        "Z99.tif": FileStatus.QUARANTINED,
        "overview.tif": FileStatus.QUARANTINED,
        "n.txt": FileStatus.IGNORED,
    }
    assert [field.well for field in plate.fields] == ["B03"]


def test_a_pattern_that_fits_nothing_shows_a_name():
    with pytest.raises(InputError, match=r"fits none of the 1 images below plate: the first is a\.tif"):
        read("a.tif", pattern=r"(?P<well>Q\d)")
    with pytest.raises(InputError, match="no built-in pattern"):
        read("a.tif")


def test_several_plates_are_refused():
    with pytest.raises(
        InputError, match=r"same wells in 2 folders. Run each alone:\n  /nowhere/p1\n  /nowhere/p2"
    ):
        read("p1/Channel1-01-A-01.tif", "p2/Channel1-01-A-01.tif")
    with pytest.raises(InputError, match=r"holds 2 plates by the pattern's group plate \(p1, p2\)"):
        read("p1/A01.tif", "p2/B01.tif", pattern=r"(?P<plate>\w+)/(?P<well>\w+)")


@given(
    st.lists(st.tuples(st.sampled_from("AB"), st.integers(1, 3), st.integers(1, 2)), unique=True, min_size=1)
)
def test_no_well_is_dropped_or_shifted(planes):
    plate = read(
        *(
            f"Channel{channel}-{index:02d}-{row}-{column:02d}.tif"
            for index, (row, column, channel) in enumerate(planes)
        )
    )
    assert list(plate.wells()) == sorted({well_name(row, column) for row, column, _ in planes})
    for field in plate.fields:
        for plane in field.planes:
            assert f"-{field.well[0]}-{field.well[1:]}" in plane.path
