"""A user's table is joined to the fields: nothing is lost unseen, and contradictions are refused."""

import pytest

from nucbatch.core.errors import InputError
from nucbatch.experiment.description import Experiment, dose_axis, unit_in_name
from nucbatch.experiment.join import Address, describe


def fields(*wells, sites=1, plate="P", metadata=()):
    return [
        Address(f"{well}/{site}", plate, well, site, (f"img/{well}_s{site}_w1.tif",), metadata)
        for well in wells
        for site in range(1, sites + 1)
    ]


def described(text, some, **options):
    return describe(Experiment(text.encode(), "t.csv", **options), some)


def test_every_field_gets_the_values_of_its_well():
    found = described("Well,Dose,Drug\nA01,1,x\nA02,,y\n", fields("A01", "A02", sites=2))
    assert found.columns == ("Metadata_Dose", "Metadata_Drug")
    assert found.fields["A01/2"] == (("Metadata_Dose", 1.0), ("Metadata_Drug", "x"))
    assert found.fields["A02/1"] == (("Metadata_Dose", None), ("Metadata_Drug", "y"))
    assert found.remarks == ()


def test_rows_without_images_and_wells_without_rows_are_named():
    found = described("Well,Dose,Drug\nA01,1,x\nH12,2,y\n", fields("A01", "B02"))
    assert found.fields["B02/1"] == (("Metadata_Dose", None), ("Metadata_Drug", ""))
    assert found.remarks == (
        "t.csv: 1 of 2 rows are about places that have no images: H12.",
        "t.csv has no row for B02: their columns are empty.",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Well,Dose\nA01,1\nA1,2\n", "row 2 and row 3 are both about A01, and differ in Dose .1.0, 2.0"),
        ("Well,Dose\nH01,1\n", "none of its 1 rows is about a well or file of this run.*H01.*A01"),
        ("Plate,Well,Dose\nQ,A01,1\n", "about the plates Q, and this run about P"),
        ("Well,Kind\nA01,1\n", "the manifest has the column Metadata_Kind too"),
    ],
)
def test_contradictions_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        described(text, fields("A01", metadata=(("Metadata_Kind", "a"),)))


def test_equal_rows_about_one_well_are_one():
    assert described("Well,Dose\nA01,1\nA1,1\n", fields("A01")).fields["A01/1"] == (("Metadata_Dose", 1.0),)


def test_rows_of_other_plates_are_left_out_and_named():
    found = described("Plate,Well,Dose\np,A01,1\nQ,A01,2\n", fields("A01"))
    assert found.fields["A01/1"] == (("Metadata_Dose", 1.0),)
    assert found.remarks == ("t.csv: 1 rows are about other plates: Q.",)


def test_sites_and_files_have_values_of_their_own():
    found = described("Well,Site,Dose\nA01,1,1\nA01,2,2\n", fields("A01", sites=2))
    assert [found.fields[f"A01/{site}"][0][1] for site in (1, 2)] == [1.0, 2.0]
    for name in ("A01_s2_w1.tif", "IMG/a01_s2_w1.TIF", "A01_s2_w1", r".\img\A01_s2_w1.tif"):
        found = described(f"FileName,Dose\n{name},7\n", fields("A01", sites=2))
        assert [found.fields[f"A01/{site}"][0][1] for site in (1, 2)] == [None, 7.0]


def test_a_name_of_several_files_needs_its_path():
    some = [Address(group, "P", "", 1, (f"{group}/a.tif",)) for group in ("x", "y")]
    with pytest.raises(InputError, match=r"several files of the input are named a\.tif"):
        described("FileName,Dose\na.tif,1\n", some)
    assert described("FileName,Dose\ny/a.tif,1\n", some).fields["y"] == (("Metadata_Dose", 1.0),)


TABLE = "Well,Dose,Drug\n" + "".join(f"{row}{n:02d},{n % 3},{row}x\n" for row in "AB" for n in range(1, 4))
WELLS = [f"{row}{n:02d}" for row in "AB" for n in range(1, 4)]


def column(found, name):
    return [dict(found.fields[f"{well}/1"])[name] for well in WELLS]


def test_controls_and_series_become_columns():
    found = described(
        TABLE, fields(*WELLS), positive=("dose=2.0",), negative=("Metadata_Dose=0",), series="Drug"
    )
    assert column(found, "Metadata_AssayControl") == ["", "positive", "negative"] * 2
    assert column(found, "Metadata_AssaySeries") == ["Ax"] * 3 + ["Bx"] * 3
    by_rows = described(TABLE, fields(*WELLS), series="rows")
    assert column(by_rows, "Metadata_AssaySeries") == ["A"] * 3 + ["B"] * 3
    by_well = describe(Experiment(positive=("Well=a1",)), fields(*WELLS))
    assert column(by_well, "Metadata_AssayControl") == ["positive"] + [""] * 5


def test_columns_of_a_manifest_need_no_table():
    some = [
        Address(well, "P", well, 1, (), (("Metadata_Kind", kind), ("Metadata_Dose", dose)))
        for well, kind, dose in (("A01", "neg", 0.0), ("A02", "", 1.0), ("A03", "pos", None))
    ]
    found = describe(Experiment(positive=("Kind=pos",), negative=("Kind=neg",), dose="Dose"), some)
    assert [dict(found.fields[well])["Metadata_AssayControl"] for well in ("A01", "A02", "A03")] == [
        "negative",
        "",
        "positive",
    ]
    assert (found.columns, found.dose, found.axis) == (("Metadata_AssayControl",), "Metadata_Dose", "step")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"positive": ("Dose",)}, "give COLUMN=VALUE"),
        ({"positive": ("Doze=1",)}, "--positive Doze: there is no such column. The columns are: Dose, Drug"),
        ({"negative": ("Dose=7",)}, "no well has this value. Dose has 1, 2, 0"),
        ({"positive": ("Dose=0",), "negative": ("Dose=0",)}, "A03 is both a positive and a negative"),
        ({"series": "Druk"}, "--series Druk: there is no such column"),
        ({"series": "G-H"}, "no wells in these rows"),
        ({"dose": "Drug"}, "--dose Drug needs numbers, and has 'Ax'"),
        ({"dose_unit": "nM"}, "needs --dose"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        described(TABLE, fields(*WELLS), **options)


def test_images_without_wells_have_no_controls():
    some = [Address("a", "P", "", 1, ("a.tif",))]
    with pytest.raises(InputError, match="controls, doses and series need a plate"):
        described("FileName,Dose\na,1\n", some, positive=("Dose=1",))


def test_doses_are_steps_or_have_a_unit():
    assert dose_axis("SBS_Doses", "", [0, 1, 2, 4, 5]) == ("step", "")
    assert dose_axis("Dose", "um", [0.1, 3]) == ("concentration", "µM")
    assert dose_axis("Metadata_Conc (ng/ml)", "", [1, 2]) == ("concentration", "ng/ml")
    assert [unit_in_name(name) for name in ("Dose_uM", "Dose", "M", "Dose_nm", "Conc[nM]")] == [
        "uM", "", "", "", "nM",
    ]  # fmt: skip
    assert (
        dose_axis("Conc (µM)", "uM", [1, 2]) == dose_axis("Conc_uM", "µM", [1, 2]) == ("concentration", "µM")
    )
    with pytest.raises(InputError, match=r"--dose-unit nM contradicts .* says µM"):
        dose_axis("Metadata_Conc (µM)", "nM", [1, 2])
    for doses in ([0.1, 1], [1, 10, 100]):
        with pytest.raises(InputError, match=r"are not the steps.*--dose-unit"):
            dose_axis("Dose", "", doses)
    with pytest.raises(InputError, match="negative"):
        dose_axis("LogDose", "M", [-9, -8])


def test_a_description_survives_run_json():
    experiment = Experiment(b"x", "t.csv", "Dose", "nM", ("a=1",), ("a=0", "b=2"), "rows", ("m",))
    assert Experiment.from_json(experiment.to_json(), b"x") == experiment
