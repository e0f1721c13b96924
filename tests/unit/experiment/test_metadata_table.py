"""The user's table of wells: every common form is read, and what is damaged or ambiguous is refused."""

import pytest

from nucbatch.core.errors import InputError
from nucbatch.experiment.metadata_table import read_metadata, well_text

BY_WELL = "Well,Dose,Compound\nA1,0,DMSO\nb02,1.5,LY\n"


def wells_and_values(text, name="map.csv"):
    table = read_metadata(text if isinstance(text, bytes) else text.encode(), name)
    return [place.well for place in table.places], table.columns


@pytest.mark.parametrize(
    "text",
    [
        BY_WELL,
        BY_WELL.replace("Well", "Metadata_Well"),
        BY_WELL.replace("Well", "well_position"),
        "\ufeff" + BY_WELL.replace("\n", "\r\n"),
        BY_WELL.encode("utf-16"),
        BY_WELL.replace(",", ";").replace("1.5", "1,5"),
        BY_WELL.replace(",", "\t"),
        "sep=;\n" + BY_WELL.replace(",", ";"),
        '"Well";"Dose";"Compound"\n"A1";"0";"DMSO"\n"b02";"1,5";"LY"\n',
        BY_WELL + "\n,,\n",
        'Well, Dose, Compound\nA001, 0, "DMSO"\nb02, 1.5, LY\n',
        "Plate map of May,,\nsecond line,,\n\n" + BY_WELL,
        "Row,Column,Dose,Compound\nA,01,0,DMSO\nB,2,1.5,LY\n",
        "row,col,Dose,Compound\n1,1,0,DMSO\n2,02,1.5,LY\n",
        "Dose,Compound,WELL\n0,DMSO,A-01\n1.5,LY,r02c02\n",
        "Well,Row,Column,Dose,Compound\nA01,A,1,0,DMSO\nB02,B,2,1.5,LY\n",
    ],
)
def test_wells_are_read_however_they_are_written(text):
    wells, columns = wells_and_values(text)
    assert wells == ["A01", "B02"]
    assert columns == {"Metadata_Dose": [0.0, 1.5], "Metadata_Compound": ["DMSO", "LY"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("Well,Dose\n", "no rows"),
        ("Dose,Compound\n1,LY\n", "does not say which wells.*Dose, Compound"),
        ("Well,Dose\nA01,1\nX99,2\n", r"row 3: 'X99' is no well"),
        ("Well,Dose,Compound\nA01,1,LY\nA02,2\n", "row 3 has 2 cells.*3: the file is damaged"),
        ("Well,Dose\nA01,1,LY\n", "row 2 has 3 cells"),
        ("Well,Dose,Dose\nA01,1,2\n", "two columns named Dose"),
        ("Well,,Dose\nA01,1,2\n", "column 2 has values and no name"),
        ("Well\nA01\n", "says nothing about its wells"),
        ("Well,Time\nA01,24\n", "column Time would replace Metadata_Time.*Rename"),
        ("Well,Row,Column,Dose\nA01,B,1,0\n", "differs from row B and column 1"),
        ("Well,Site,Dose\nA01,left,0\n", "site 'left' must be a whole number"),
        ('Well;Dose\n"A01;1\n', "no CSV in UTF-8"),
        (b"Well,Dose \xb5M\nA01,1\n", "no CSV in UTF-8"),
        (b"PK\x03\x04rest", "save the sheet as CSV"),
        (b"Well,Dose\nA01,\x001\n", "zero characters"),
        ("Well;Dose\nA01;1,000\nA02;2,000\n", "'1,000' may be 1000 or.*1.000"),
        ("Well;Dose\nA01;0,5\nA02;1.5\n", "has a comma, and other numbers"),
        (
            "Well;Dose;Temp\nA01;0,5;37.5\n",
            "decimal commas .in Metadata_Dose. and with points .in Metadata_Temp",
        ),
    ],
)
def test_damaged_and_ambiguous_tables_are_refused(text, message):
    with pytest.raises(InputError, match=f"(?s)map.csv.*{message}"):
        wells_and_values(text)


def test_a_column_is_numeric_only_if_all_of_it_is():
    text = "Well,Dose,Barcode,Note,Far\nA01,1e-3,007,1,1e400\nA02,NA,008,none,1\nA03,,009,,1\n"
    _, columns = wells_and_values(text)
    assert columns["Metadata_Dose"] == [0.001, None, None]
    assert columns["Metadata_Barcode"] == ["007", "008", "009"]
    assert columns["Metadata_Note"] == [1.0, None, None]
    assert columns["Metadata_Far"] == ["1e400", "1", "1"]  # no number that a table can hold


def test_rows_by_site_plate_and_file():
    places = read_metadata(b"Plate,Well,Field of view,Dose\nP1,A01,0,1\nP1,A01,1,2\n", "t").places
    assert [(one.plate, one.well, one.site) for one in places] == [("P1", "A01", 1), ("P1", "A01", 2)]
    table = read_metadata(b"Image_FileName_DNA,FileName_GFP,Dose\na.tif,x,1\nb.tif,y,2\n", "t")
    assert table.places[1].files == ("b.tif", "y")
    by_file = read_metadata(b"FileName,Well,Dose\na.tif,A01,1\nb.tif,A01,2\n", "t").places
    assert [one.files for one in by_file] == [("a.tif",), ("b.tif",)]


@pytest.mark.parametrize("text", ["A0", "AG01", "A49", "W0021", "12", "", "A01B"])
def test_what_is_no_well(text):
    assert well_text(text) == ""


def test_a_plate_map_has_a_block_for_each_variable():
    sheet = (
        "Experiment of May;;;\n\nDose;1;2;3\nA;0;0,5;10\nB;0;;10\n"
        "Compound;1;2;3\nA;DMSO;LY;LY\nB;DMSO;Wort;Wort\n"
    )
    table = read_metadata(sheet.encode(), "map.csv")
    assert [place.well for place in table.places] == ["A01", "A02", "A03", "B01", "B02", "B03"]
    assert table.columns == {
        "Metadata_Dose": [0.0, 0.5, 10.0, 0.0, None, 10.0],
        "Metadata_Compound": ["DMSO", "LY", "LY", "DMSO", "Wort", "Wort"],
    }
    assert table.remarks == ("map.csv: texts outside its plate maps are not used: Experiment of May.",)


def test_plate_maps_side_by_side_and_with_titles_above():
    sheet = "Dose,,,,Drug,,\n,2,3,,,2,3\nC,1,2,,C,x,y\nD,3,4,,D,z,\n"
    wells, columns = wells_and_values(sheet)
    assert wells == ["C02", "C03", "D02", "D03"]
    assert columns == {"Metadata_Dose": [1.0, 2.0, 3.0, 4.0], "Metadata_Drug": ["x", "y", "z", ""]}


def test_texts_above_a_table_are_named():
    assert read_metadata(b"Map of May,\nWell,Dose\nA01,1\n", "m.csv").remarks == (
        "m.csv: texts above its row of column names are not used: Map of May.",
    )


def test_a_lone_plate_map_is_named_after_its_file():
    assert wells_and_values(",1,2\nA,5,6\n", "dose.csv")[1] == {"Metadata_dose": [5.0, 6.0]}
    with pytest.raises(InputError, match="has two blocks named 'D'"):
        wells_and_values("D,1,2\nA,5,6\n\nD,1,2\nA,5,6\n")
