"""A plate is never read as a folder of pictures, and a folder of pictures is accepted."""

import itertools
import re
import shlex
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucbatch.core.errors import InputError
from nucbatch.readers.contract import NotThisLayout, ReadOptions
from nucbatch.readers.find import known_readers
from nucbatch.readers.layouts.folder import FolderReader
from nucbatch.readers.layouts.pattern import PatternReader
from nucbatch.readers.listing import FoundFile, Listing


def listing(*paths: str, root: str = "/nowhere") -> Listing:
    return Listing(root, "things", tuple(FoundFile(path) for path in sorted(set(paths))))


def read(*paths: str):
    """What the first reader that recognises the names, and does not decline them, makes of them."""
    found = listing(*paths)
    for reader in known_readers():
        if reader.recognise(found):
            with suppress(NotThisLayout):
                return reader.read(found, ReadOptions())
    raise AssertionError


def refusal(*paths: str) -> str:
    with pytest.raises(InputError) as caught:
        read(*paths)
    return str(caught.value)


def suggested(message: str) -> str:
    (line,) = [line for line in message.splitlines() if " --pattern " in line]
    return shlex.split(line)[-1]


def every(template: str, **values) -> list[str]:
    """The template filled with every combination of the values."""
    return [
        template.format(**dict(zip(values, combination, strict=True)))
        for combination in itertools.product(*values.values())
    ]


SHORT = ("B2", "B3", "C2", "C3")
ZERO = ("B01", "B02", "C01", "C02")
WELLS = ("B02", "B03", "C02", "C03")
# names as the instruments write them: (files, what the refusal says, wells by the pattern that it offers)
GOLDEN = {
    "scanr without wells": (
        every("data/--W000{w}--P0000{f}--Z00000--T00000--{c}.tif", w=(14, 27), f=(1, 2), c=("DAPI", "GFP")),
        "ScanR",
        ("B02", "C03"),
    ),
    "gen5, z-steps": (
        every("{w}_01_1_{f}Z{z}_DAPI_001.tif", w=SHORT, f=(1, 2), z=(0, 1)),
        "BioTek Gen5 (Cytation, Lionheart), z-steps or montages",
        WELLS,
    ),
    "opera": (every("{r:03}{c:03}{f:03}.tif", r=(2, 3), c=(2, 3), f=(1, 2)), "Opera", WELLS),
    "keyence": (every("XY0{p}/Image_XY0{p}_00001_CH{c}.tif", p=(1, 2), c=(1, 4)), "Keyence", ()),
    "numbers in brackets": (every("{w} DAPI ({s}).tif", w=SHORT, s=(1, 2)), "a well", WELLS),
    "wells alone": (
        [f"{row}{column}.tif" for row in "BCD" for column in range(1, 5)],
        "a well",
        tuple(f"{row}0{column}" for row in "BCD" for column in range(1, 5)),
    ),
    "wells in folders": (every("Well_{w}/img_{i}.tif", w=WELLS, i=(1, 2, 3)), "a well", WELLS),
    "wells, running sites": (every("{w}_{i}.png", w=WELLS, i=(1, 2, 3)), "a well", WELLS),
    "squid, older, without wells": (
        every("0/{i}_{j}_0_{c}.tiff", i=(0, 1), j=(0, 1), c=("BF_LED_matrix_full", "Fluorescence_405_nm_Ex")),
        "Squid, older",
        None,
    ),
    "folders of rows and columns": (every("{r}/{c}/DAPI_1.tif", r="BC", c=(2, 3)), "a well", WELLS),
    "folders of one row": (every("A/{c:02}/img_{i}.tif", c=(1, 2), i=(1, 2)), "a well", ("A01", "A02")),
    "folders of rows, columns, sites": (
        every("{r}/{c}/{s}/x.tif", r="BC", c=(2, 3), s=(0, 1)),
        "a well",
        WELLS,
    ),
    "folders with words": (every("Row_{r}/Col_{c}/img.tif", r="BC", c=(2, 3)), "a well", WELLS),
    "folders with words and numbers": (every("row{r}/col{c}/img.tif", r=(2, 3), c=(2, 3)), "a well", WELLS),
    "wells below a folder": (every("plate/{w}/DAPI_{s}.tif", w=SHORT, s=(1, 2)), "a well", WELLS),
    "a letter and a number": (every("{r} - {c} - DAPI.tif", r="BC", c=(2, 3)), "a well", WELLS),
    "row and column": (every("r{r:02}c{c:02}.tif", r=(2, 3), c=(2, 3)), "a well", WELLS),
    "column and row": (
        every("c{c:02}r{r:02}_{ch}.tif", c=(2, 3), r=(2, 3), ch=("DAPI", "GFP")),
        "a well",
        WELLS,
    ),
    "column and row of harmony": (
        every(
            "c{c:02}r{r:02}f{f:02}p0{p}-ch{h}sk1fk1fl1.tiff", c=(2, 3), r=(2, 3), f=(1, 2), p=(1, 2), h=(1, 2)
        ),
        "a well",
        WELLS,
    ),
    "column, row and field": (
        every("col{c}_row{r}_f{f}_{ch}.tif", c=(2, 3), r=(2, 3), f=(1, 2), ch=("DAPI", "GFP")),
        "a well",
        WELLS,
    ),
    "one row": (["A1.tif", "A2.tif", "A3.tif"], "a well", ("A01", "A02", "A03")),
    "one row with gaps": (["B2.tif", "B5.tif"], "a well", ("B02", "B05")),
    "one row with a stain": (every("A{c} DAPI.tif", c=(1, 2)), "a well", ("A01", "A02")),
    "one row with sites": (every("H{c}-{s}.tif", c=(1, 2), s=(1, 2)), "a well", ("H01", "H02")),
    "one row after a word": (every("exp1_A{c}.tif", c=(1, 2, 3)), "a well", ("A01", "A02", "A03")),
    "row C with stains": (every("C{c}_{ch}.tif", c=(1, 2), ch=("DAPI", "GFP")), "a well", ("C01", "C02")),
    "row C with sites": (every("C{c}_{s}.tif", c=(1, 2), s=(1, 2)), "a well", ("C01", "C02")),
    "one column": (["A1.tif", "B1.tif", "C1.tif", "D1.tif"], "a well", ("A01", "B01", "C01", "D01")),
    "a diagonal": (["A1.tif", "B2.tif", "C3.tif"], "a well", ("A01", "B02", "C03")),
    "one row in folders of channels": (
        every("{ch}/A{c}.tif", c=(1, 2), ch=("DAPI", "GFP")),
        "a well",
        ("A01", "A02"),
    ),
    "channel before the well": (
        every("{ch}-{w}-{s}.tif", ch=("DAPI", "GFP"), w=WELLS, s=(1, 2)),
        "a well",
        WELLS,
    ),
    "columns from 0": (
        every("{r}0{c}_s{s}_{ch}.tif", r="BC", c=(0, 1), s=(1, 2), ch=("DAPI", "GFP")),
        "a well",
        ZERO,
    ),
    "columns from 0 and stains": (
        every("{r}{c}_{ch}.tif", r="BC", c=(0, 1), ch=("DAPI", "GFP")),
        "a well",
        ZERO,
    ),
    "columns from 0 of ImageXpress": (
        every("p_{r}0{c}_s{s}_w{ch}.tif", r="BC", c=(0, 1), s=(1, 2), ch=(1, 2)),
        "ImageXpress",
        ZERO,
    ),
    "columns from 0 in folders": (every("{r}/{c}/img.tif", r="BC", c=(0, 1)), "a well", ZERO),
    "columns from 0 of Cellomics": (
        every("x_{r}0{c}f0{f}d{d}.tif", r="BC", c=(0, 1), f=(0, 1), d=(0, 1)),
        "Cellomics",
        None,
    ),
    "columns before rows": (every("0{c}{r}_DAPI.tif", r="BC", c=(2, 3)), "a well", WELLS),
    "wells of three digits": (every("{r}00{c}.tif", r="BC", c=(2, 3)), "a well", WELLS),
    "words and letters": (every("Row{r}_Col{c}.tif", r="BC", c=(2, 3)), "a well", WELLS),
    "folders of rows around wells": ([f"{w[0]}/{w}_{s}.tif" for w in WELLS for s in (1, 2)], "a well", WELLS),
    "plates before wells": (every("P{p}_A{c}.tif", p=(1, 2), c=(1, 2, 3)), "a well", None),
    "wells with numbers": (every("well {i}.tif", i=(1, 2, 3)), "a well", None),
    "folders with numbers of wells": (every("Well{i}/DAPI.tif", i=(1, 2)), "a well", None),
    "plates with rows in folders": (
        every("{p}/{r}/{c}/img.tif", p=("P1", "P2"), r="AB", c=(1, 2)),
        "a well",
        None,
    ),
    "channels in folders": (every("{c}/sample{s}.tif", c=("DAPI", "GFP"), s=(1, 2)), "a channel", ()),
    "channels": (every("{s}_{c}.tif", s=("mouse 1", "mouse 2"), c=("DAPI", "Cy5")), "a channel", ()),
    "numbered channels": (every("{s}_c{c}.tif", s=("control_1", "treated_1"), c=(1, 2)), "a channel", ()),
    "z-steps": (every("embryo_z{z:02d}.tif", z=range(8)), "a z-step", ()),
}


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("name", GOLDEN)
def test_a_plate_is_rejected_with_the_remedy(name, upper):
    paths, said, wells = GOLDEN[name]
    if upper:
        paths = [re.sub(r"\.(ome\.)?tiff?$", lambda match: match[0].upper(), path) for path in paths]
    message = refusal(*paths)
    assert said in message
    assert "--layout folder" in message
    if wells is None:
        assert "LoadData CSV" in message
        return
    plate = PatternReader().read(listing(*paths), ReadOptions(pattern=suggested(message)))
    assert tuple(well for well in plate.wells() if well) == wells
    assert len(plate.files) == len([file for file in plate.files if not file.reason]) == len(paths)
    assert not any(field.problem for field in plate.fields)
    assert FolderReader().read(listing(*paths), ReadOptions(layout="folder")).layout == "folder"


@pytest.mark.parametrize(
    ("template", "channels"),
    [("image_W{w}_S{s}_C{c}_T0_Z0.tif", 2), ("W0000{w}--P0000{s}--T0000{c}--Cy3.tif", 1)],
)
def test_the_number_of_a_well_is_not_suggested_as_a_channel(template, channels):
    paths = every(template, w=(1, 2, 3), s=(0, 1), c=(0, 1))
    plate = PatternReader().read(listing(*paths), ReadOptions(pattern=suggested(refusal(*paths))))
    assert (len(plate.channels), len({field.site for field in plate.fields})) == (channels, 6)


def test_a_suggestion_that_assumes_the_plates_size_says_so():
    paths = every("x W00{w}F000{f}T0001Z001C{c}.tif", w=(14, 27), f=(1, 2), c=(1, 2))
    assert "row by row on a plate of 96 wells" in refusal(*paths)
    assert "row by row" not in refusal(*GOLDEN["wells alone"][0])


@pytest.mark.parametrize(
    ("name", "maker"),
    [
        ("MeasurementData.mlf", "CellVoyager"),
        ("MeasurementDetail.mrf", "CellVoyager"),
        ("x.mes", "CellVoyager"),
        ("Images/Index.idx.xml", "Harmony"),
        ("Index.xml", "Harmony"),
        ("Index.ref.xml", "Harmony"),
        ("MeasurementIndex.ColumbusIDX.xml", "Harmony"),
        ("9987.HTD", "ImageXpress"),
        ("scan.xdce", "IN Cell"),
        ("experiment_descriptor.xml", "ScanR"),
        ("experiment_descriptor.dat", "ScanR"),
        ("data/metadata.ome.xml", "OME-TIFF"),
        ("MeasurementResult.ome.xml", "CQ1"),
        ("load_data_with_illum.csv", "LoadData"),
    ],
)
def test_a_side_file_identifies_a_plate(name, maker):
    message = refusal("one.tif", "two.tif", name)
    assert maker in message
    assert name in message


def test_a_table_of_images_is_offered_instead(tmp_path):
    (tmp_path / "images.csv").write_text("FileName_DNA,Metadata_Well\none.tif,A01\n")
    (tmp_path / "doses.csv").write_text("Well,Dose\nA01,3\n")
    (tmp_path / "MyExpt_Image.csv").write_text("Count_Nuclei,FileName_DNA,Metadata_Well\n3,one.tif,A01\n")
    names = ("one.tif", "doses.csv", "MyExpt_Image.csv")
    assert FolderReader().read(listing(*names, root=str(tmp_path)), ReadOptions()).layout == "folder"
    with pytest.raises(InputError, match=rf"nucbatch inspect {tmp_path}/images\.csv"):
        FolderReader().read(listing(*names, "images.csv", root=str(tmp_path)), ReadOptions())


def test_plates_of_several_instruments_are_listed():
    message = refusal(
        *(f"{name}/{path}" for name in ("gen5, z-steps", "keyence") for path in GOLDEN[name][0]),
        *every("squid/0/{w}_{f}_0_Fluorescence_405_nm_Ex.tiff", w=SHORT, f=range(9)),
        "other/readme.txt",
    )
    assert re.findall(r"nucbatch inspect (.*)", message) == [
        "'/nowhere/gen5, z-steps'",
        "/nowhere/keyence",
        "/nowhere/squid",
    ]


def test_a_plate_is_found_beside_a_larger_folder_of_pictures():
    camera = [f"camera/IMG_{number:04d}.jpg" for number in range(100)]
    plate = every("the plate/r01c{c:02d}f{f:02d}p01-ch{ch}sk1fk1fl1.tiff", c=(1, 2), f=(1, 2), ch=(1, 2))
    assert "nucbatch inspect '/nowhere/the plate'\n" in refusal(*camera, *plate)


FOLDERS = {
    "camera": [f"IMG_{number:04d}.jpg" for number in range(1, 9)],
    "mouse": ["mouse_B2.tif"],
    "mice": ["mouse_A1.tif", "mouse_B2.tif", "mouse_C3.tif"],
    "condition": ["M1_control.tif"],
    "conditions": every("M{m}_{c}.tif", m=(1, 2, 3), c=("control", "treated")),
    "samples": [f"sample {number}.png" for number in range(1, 5)],
    "dates": [f"2024-01-0{day}_exp{number}.tif" for day in (5, 6) for number in (1, 2)],
    "slides": [f"slide{number}.tif" for number in range(8, 16)],
    "digests": [f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}.png" for number in range(1, 40)],
    "times": [f"movie_t{t:03d}.tif" for t in range(10)],
    "sites": [f"slide3_s{s}.tif" for s in range(1, 10)],
    "cells": [f"c{number}.tif" for number in range(1, 9)],
    "patients": [f"P{number:02d}.tif" for number in range(1, 30)],
    "timepoints": [f"T{number:02d}.tif" for number in range(1, 12)],
    "stained alike": [f"tissue {number} DAPI.tif" for number in range(1, 5)],
    "mosaic": every("tile_r{r}_c{c}.tif", r=(1, 2, 3), c=(1, 2, 3)),
    "mosaic, in words": every("row{r}_col{c}_DAPI.tif", r=(1, 2, 3), c=(1, 2, 3)),
    "mosaic, x and y": every("tile_x{x:02d}_y{y:02d}.tif", x=range(3), y=range(3)),
    "cell lines": ["U2OS_1.tif", "U2OS_2.tif", "HeLa_1.tif", "B16_1.tif", "H9_2.tif", "C2C12_1.tif"],
    "embryonic days": ["E14_cortex.tif", "E14_liver.tif", "E16_cortex.tif", "E16_liver.tif"],
    "samples of three digits": [f"A{number:03d}.tif" for number in range(1, 13)],
    "sections": every("{p}{s}.tif", p=(1, 2), s="ABC"),
    "males and females": every("{x}{i}_{o}.tif", x="MF", i=(1, 2), o=("liver", "spleen")),
    "groups": every("{g}/{i}.tif", g="AB", i=range(1, 6)),
    "groups of mice": every("{g}/mouse{i}.tif", g="AB", i=(1, 2)),
    "replicates": every("{g}_{i}.tif", g="AB", i=(1, 2, 3)),
    "numbered folders": every("{g}/{i}/img.tif", g=(1, 2), i=(1, 2)),
    "stained mosaic": every("slide_r{r:02}c{c:02}_DAPI.tif", r=(1, 2), c=(1, 2)),
    "papers": ["Fig1A.png", "Fig1B.png", "Fig2A.png", "Fig2B.png"],
    "scans": ["Scan001.tif", "Scan002.tif", "overview.jpg"],
    "words": ["cat.tif", "dog.tif"],
    "not ASCII": ["Übersicht.tif", "核_1.tif", "核_2.tif"],
    "train and test": every("{s}/images/{i}.png", s=("train", "test"), i=("a", "b", "c")),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_pictures_is_accepted(name):
    plate = read(*FOLDERS[name])
    assert (plate.layout, len(plate.fields)) == ("folder", len(FOLDERS[name]))


@given(
    st.text("abcdefghijklmnopqrstuvwxyz", min_size=5, max_size=12),
    st.sampled_from(["{} {}", "{}_{}", "{}{:03d}", "{}-{:05d}"]),
    st.lists(st.integers(1, 99999), min_size=1, max_size=30, unique=True),
)
def test_a_word_and_a_number_are_not_a_plate(word, template, numbers):
    assert read(*(f"{template.format('my' + word, number)}.tif" for number in numbers)).layout == "folder"


@given(
    st.sampled_from(["{w}", "exp_{w}", "{w}_{i}", "2024-01-05 {w} {i}", "{w}-{i}", "{w}/{i}"]),
    st.sets(st.tuples(st.sampled_from("ABCDEFGHIJKLMNOP"), st.integers(1, 24)), min_size=8),
    st.integers(1, 4),
)
def test_wells_of_several_rows_are_never_a_folder(template, wells, images):
    rows = {row for row, _ in wells}
    names = [
        template.format(w=f"{row}{column:02d}", i=i) for row, column in wells for i in range(1, images + 1)
    ]
    if len(rows) > 1 and min(column for _, column in wells) < 10:
        assert "a well" in refusal(*(f"{name}.tif" for name in names))
