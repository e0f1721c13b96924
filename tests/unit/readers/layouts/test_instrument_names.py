"""Grammars of instruments: names alone give well, site, channel, z and t, and guesses are rejected."""

import re
import shlex

import pytest
from golden import every
from hypothesis import given
from hypothesis import strategies as st

from nucbatch.core.errors import InputError
from nucbatch.core.plate import FileStatus
from nucbatch.core.plate_geometry import well_name
from nucbatch.readers.contract import ReadOptions
from nucbatch.readers.find import known_readers
from nucbatch.readers.layouts.instrument_names import InstrumentNamesReader
from nucbatch.readers.layouts.pattern import PatternReader
from nucbatch.readers.listing import FoundFile, Listing


def listing(*paths: str) -> Listing:
    return Listing("/nowhere", "plate", tuple(FoundFile(path) for path in sorted(set(paths))))


def read(*paths: str, acquisition: str = ""):
    found = listing(*paths)
    reader = next(reader for reader in known_readers() if reader.recognise(found))
    assert reader.name == "names"
    return reader.read(found, ReadOptions(acquisition=acquisition))


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("AS_09047_050428030001_O01f00d2.TIF", ("O01", 1, "d2", 0, 0)),
        ("MFGTMP-PC_170319090001_A01f12d0.tif", ("A01", 13, "d0", 0, 0)),
        ("scan_Plate_R_p00_0_A01f00d4.TIF", ("A01", 1, "d4", 0, 0)),
        ("B7_01_1_3_DAPI_001.tif", ("B07", 3, "DAPI", 0, 0)),
        ("B7_01_2_3_GFP 469,525_012.tif", ("B07", 3, "GFP 469,525", 0, 11)),
        (
            "A1_-2_1_1_Tsf[Stitched[Channel1 300,400]]_001.tif",
            ("A01", 1, "Tsf[Stitched[Channel1 300,400]]", 0, 0),
        ),
        ("ID_A9 info/A9_-1_3_1_DAPI_001.tif", ("A09", 1, "DAPI", 0, 0)),
        ("A1_1Z4_DAPI_1_003_.tif", ("A01", 1, "DAPI", 4, 2)),
        ("B2_1_Bright Field_1_001_02.tif", ("B02", 1, "Bright Field", 0, 0)),
        (
            "H10_3_Stitched[AandB_Phase Contrast]_1_001_-1.tif",
            ("H10", 3, "Stitched[AandB_Phase Contrast]", 0, 0),
        ),
        ("WellB02_PointB02_0000_ChannelDAPI_Seq0000.tif", ("B02", 1, "DAPI", 0, 0)),
        ("WellB02_PointB02_0003_ChannelDAPI,GFP_Seq0007.tif", ("B02", 4, "Grey", 0, 0)),
        ("WellE01_ChannelDAPI_Seq0009.tif", ("E01", 1, "DAPI", 0, 0)),
        ("Plate1_2000_WellM05_Point1_2000_M05_0001_ChannelDAPI_Seq2427.tiff", ("M05", 2, "DAPI", 0, 0)),
        ("Well B02/DAPI - n000000.tif", ("B02", 1, "DAPI", 0, 0)),
        ("Well A001/Alexa 488 - n000000.tif", ("A01", 1, "Alexa 488", 0, 0)),
        ("Well C12/GFP - Confocal - n000000.tif", ("C12", 1, "GFP - Confocal", 0, 0)),
        ("3/B2_0_4_Fluorescence_405_nm_Ex.tiff", ("B02", 1, "Fluorescence_405_nm_Ex", 4, 3)),
        ("Channel2-01-A-01.tif", ("A01", 1, "Channel2", 0, 0)),
        ("Channel 1-27-C-03-00.tif", ("C03", 1, "Channel 1", 0, 0)),
        ("Channel 1-27-C-03-02.tif", ("C03", 3, "Channel 1", 0, 0)),
        ("B03/DAPI.tif", ("B03", 1, "DAPI", 0, 0)),
        ("well C3/s2_ch1_z4_t2.png", ("C03", 2, "ch1", 3, 1)),
        ("C3/field 2/Hoechst33342.tif", ("C03", 2, "Hoechst33342", 0, 0)),
        ("r02c03-f2-C1.tif", ("B03", 2, "C1", 0, 0)),
        ("row1_col2_fov3_ch1_z2_t4.tif", ("A02", 3, "ch1", 1, 3)),
        ("r1c2f3_t4_DAPI_z2.tif", ("A02", 3, "DAPI", 1, 3)),
        ("r1c2f3DAPI.tif", ("A02", 3, "DAPI", 0, 0)),
        ("Row 2 Column 3 site 1 z 2 DAPI.tif", ("B03", 1, "DAPI", 1, 0)),
        ("001002-3-001001001.tif", ("A02", 3, "001", 0, 0)),
    ],
)
def test_names_are_read_unasked(name, place):
    (field,) = read(name).fields
    (plane,) = field.planes
    assert (field.well, field.site, plane.channel, plane.z, field.t) == place


@given(st.integers(1, 9), st.integers(1, 96), st.sampled_from("ABCDEFGHP"), st.integers(1, 24))
def test_running_numbers_are_never_wells(channel, running, row, column):
    (field,) = read(f"x/Channel{channel}-{running:02d}-{row}-{column:02d}.tif").fields
    assert (field.well, field.site) == (well_name(row, column), 1)


def test_a_part_of_the_fields_keeps_their_numbers():
    """The vendor counts fields from 0, whether or not field 0 is there."""
    assert [field.site for field in read("A01f01d0.TIF", "A01f02d0.TIF").fields] == [2, 3]


@pytest.mark.parametrize("varied", ["001001002", "001002001", "002001001"])
def test_numbers_whose_meaning_is_not_certain_are_rejected_if_they_vary(varied):
    names = ("001002-1-001001001.tif", f"001002-1-{varied}.tif", f"002003-1-{varied}.tif")
    with pytest.raises(InputError, match="not certain that the last nine digits mean plane") as caught:
        read(*names)
    pattern = shlex.split(str(caught.value).splitlines()[-1])[-1]
    plate = PatternReader().read(listing(*names), ReadOptions(pattern=pattern))
    assert list(plate.wells()) == ["A02", "B03"]


def test_the_numbers_of_bd_pathway_are_not_guessed():
    """A montage of all fields is one image, so the number counts times or z-steps."""
    with pytest.raises(InputError, match="whether the number after n counts times or z-steps"):
        read(*every("Well B02/DAPI - n00000{n}.tif", n=(0, 1)))


def test_rows_from_0_are_rejected():
    """With row 0 missing, the same plate would be read one row off."""
    with pytest.raises(InputError, match="rows or columns are counted from 0"):
        read("r00c01-f1-C1.tif", "r01c01-f1-C1.tif")


def test_read_steps_are_acquisitions_of_which_one_is_read():
    names = tuple(every("B7_{step}_1_{f}_DAPI_001.tif", step=("01", "02"), f=(1, 2)))
    with pytest.raises(InputError, match=r"\(read steps\) 01, 02\. .*\n.* --acquisition=01\n.*=02"):
        read(*names)
    plate = read(*names, acquisition="02")
    assert [plane.path for field in plate.fields for plane in field.planes] == [
        "B7_02_1_1_DAPI_001.tif",
        "B7_02_1_2_DAPI_001.tif",
    ]
    assert plate.acquisition == "02"
    stitched = (*names, "B7_-1_1_1_Stitched[DAPI]_001.tif")
    with pytest.raises(InputError, match=r"--acquisition=-1\n"):
        read(*stitched)
    assert [len(field.planes) for field in read(*stitched, acquisition="-1").fields] == [1]
    assert [record.reason.split(":")[0] for record in plate.files if record.reason] == [
        "other-acquisition"
    ] * 2
    with pytest.raises(InputError, match="not '03'"):
        read(*names, acquisition="03")


def test_what_evos_writes_before_the_well_is_not_guessed():
    names = every("scan_Plate_{code}_p00_0_{w}f00d0.TIF", code=("R", "TD"), w=("A01", "A02"))
    with pytest.raises(InputError, match=r"not certain what it means \(R, D, TD, p00\)"):
        read(*names)


def test_names_that_differ_beside_the_well_are_several_plates():
    names = every("AS_09047_05042803000{p}_{w}f00d0.TIF", p=(1, 2), w=("A01", "A02"))
    with pytest.raises(InputError, match="mixes images of 2 plates"):
        read(*names)


def test_several_plates_are_listed():
    with pytest.raises(InputError, match=r"nucbatch run /nowhere/p1 -o out/p1\n  nucbatch run /nowhere/p2"):
        read(*every("{p}/AS_1_{w}f00d0.TIF", p=("p1", "p2"), w=("A01", "A02")))


def test_the_user_hears_how_names_are_known():
    assert read("A01f00d0.TIF").remarks == ("File names are those of Cellomics or CellInsight.",)
    assert "not tried on a real plate" in read("scan_Plate_R_p00_0_A01f00d0.TIF").remarks[0]
    (remark,) = read("Well B02/DAPI - n000000.tif").remarks
    assert "BD Pathway" in remark
    assert "not tried on a real plate" in remark


@pytest.mark.parametrize(
    "names",
    [
        ("B02/1.tif", "B02/2.tif", "B03/1.tif", "B03/2.tif"),
        ("B02/img_1.tif", "B02/img_2.tif", "C03/img_1.tif", "C03/img_2.tif"),
        ("r01c02f1_3.tif", "r01c02f1_4.tif", "r01c03f1_3.tif"),
        ("M1/DAPI.tif", "M1/GFP.tif", "M2/DAPI.tif", "M2/GFP.tif"),
        ("E14/DAPI.tif", "E14/GFP.tif", "E16/DAPI.tif", "E16/GFP.tif"),
        ("Slide-1-X-01.tif", "Slide-2-Y-01.tif"),
        ("0/manual1_0_0_Fluorescence_405_nm_Ex.tiff", "0/manual1_1_0_Fluorescence_405_nm_Ex.tiff"),
    ],
)
def test_numbers_without_a_meaning_are_not_read(names):
    assert not InstrumentNamesReader().recognise(listing(*names))


def test_names_in_any_case_are_one_channel():
    (field,) = read("CHANNEL1-15-B-03.TIF", "channel2-15-b-03.tif").fields
    assert (field.well, len(field.planes), field.problem) == ("B03", 2, "")


def test_a_forced_layout_needs_such_names():
    with pytest.raises(InputError, match=r"are none of Operetta .*Cellomics.*give --pattern"):
        InstrumentNamesReader().read(listing("a.tif"), ReadOptions())


def test_an_image_of_another_kind_is_quarantined():
    plate = read("A01f00d0.TIF", "A01f00d1.TIF", "overview.tif")
    assert {record.path: record.status for record in plate.files}["overview.tif"] is FileStatus.QUARANTINED
    assert re.match("an image, but its name does not fit the names layout", plate.files[-1].reason)
