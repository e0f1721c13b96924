"""What a run's tables mean: four states of a well, and errors that say what to do."""

import numpy as np
import pandas as pd
import pytest

from nucbatch.core.errors import StoreError
from nucbatch.report.run_data import RunData
from nucbatch.report.wells import WellState


def test_zero_failed_and_partly_failed_wells_are_distinguished(make_run):
    field = make_run.field
    data = RunData(
        make_run(
            [
                field("B02", 1, 4),
                field("B02", 2, 5),
                field("B03", 1, 0),
                field("B04", 1, None),
                field("B05", 1, 7),
                field("B05", 2, None),
            ]
        )
    )
    states = {well.name: (well.state, well.count, well.failed) for well in data.wells}
    assert states == {
        "B02": (WellState.COUNTED, 9, 0),
        "B03": (WellState.COUNTED, 0, 0),
        "B04": (WellState.FAILED, None, 1),
        "B05": (WellState.PARTLY, 7, 1),
    }


def test_wells_come_by_plate_row_and_column(make_run):
    names = ["AA01", "B10", "B02", "A01"]
    fields = [make_run.field(name, 1, 1, plate=plate) for plate in ("P2", "P1") for name in names]
    wells = RunData(make_run(fields)).wells
    assert [(well.plate, well.name) for well in wells] == [
        (plate, name) for plate in ("P1", "P2") for name in ("A01", "B02", "B10", "AA01")
    ]


def test_fields_without_wells_are_no_plate(make_run):
    assert RunData(make_run([make_run.field("", 1, 3)])).wells == ()


def test_plates_called_na_and_empty_cells_are_read_as_text(make_run):
    folder = make_run(
        [make_run.field("B02", 1, 3, plate="NA")], [make_run.file("null"), make_run.file("b.tif")]
    )
    data = RunData(folder)
    (used,) = data.files
    assert (used.status, used.reason, used.count, used.paths) == ("used", "", 2, ["b.tif", "null"])
    assert data.fields["Metadata_Plate"].tolist() == ["NA"]


def test_of_many_files_with_one_reason_the_first_paths_by_name_are_kept(make_run):
    numbers = np.random.default_rng(0).permutation(3000)
    files = [make_run.file(f"{number:04}.tif", "ignored", "thumbnail: small") for number in numbers]
    (group,) = RunData(make_run([make_run.field("B02", 1, 3)], files)).files
    assert group.count == 3000
    assert group.paths == [f"{number:04}.tif" for number in range(200)]


def test_an_unfinished_run_says_what_is_missing(make_run):
    folder = make_run([make_run.field("B02", 1, 3)])
    folder.fields.unlink()
    with pytest.raises(StoreError, match=r"no fields\.parquet.*finished run"):
        _ = RunData(folder).fields


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_a_broken_run_json_is_named(make_run, content):
    folder = make_run([make_run.field("B02", 1, 3)])
    folder.run_json.write_text(content, encoding="utf-8")
    with pytest.raises(StoreError, match=r"run\.json"):
        _ = RunData(folder).run


def test_a_duration_is_only_told_where_the_run_tells_it(make_run):
    fields = [make_run.field("B02", 1, 3)]
    assert RunData(make_run(fields)).wall_s == 200.0
    assert RunData(make_run(fields, run={"nucbatch": "0.1.0"})).wall_s is None


@pytest.mark.parametrize("odd", ["", "Mean_Of_User"], ids=["all numbers", "a text named as a statistic"])
def test_wells_have_the_numbers_of_their_table(make_run, odd):
    data = RunData(make_run([make_run.field("B02", 1, 3), make_run.field("B03", 1, 0)]))
    table = {
        "Metadata_Plate": ["NA", "NA"],
        "Metadata_Well": ["B03", "B02"],
        "Metadata_Time": [0, 0],
        "Count_Nuclei": [0, 3],
        "Mean_Nuclei_A": ["", "0.30000000000000004"],
        "StDev_Nuclei_A": ["", "1e-07"],
    }
    table = pd.DataFrame(table | ({odd: ["control", ""]} if odd else {}))
    table["Metadata_Plate"] = data.fields["Metadata_Plate"].iloc[0]
    table.to_csv(data.paths.wells, index=False)
    read = data.well_table
    assert read["Metadata_Well"].tolist() == ["B02", "B03"]
    assert read["Count_Nuclei"].tolist() == [3, 0]
    assert read["Mean_Nuclei_A"].tolist() == pytest.approx([0.30000000000000004, np.nan], nan_ok=True)
    assert read["StDev_Nuclei_A"].tolist() == pytest.approx([1e-7, np.nan], nan_ok=True)


def test_what_several_panels_need_is_computed_once(make_run):
    data = RunData(make_run([make_run.field("B02", 1, 3)]))
    calls = []

    def seven(run):
        calls.append(run)
        return 7

    assert [data.once(seven), data.once(seven)] == [7, 7]
    assert calls == [data]
