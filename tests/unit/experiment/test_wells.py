"""Wells: three kinds of nothing kept apart, plate order, and no nucleus lost between the tables."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nucbatch.core.errors import InputNotFound, StoreError
from nucbatch.experiment.wells import by_well

AREA = "Nuclei_AreaShape_Area"
FORM = "Nuclei_AreaShape_FormFactor"


def fields(*rows, times=None):
    """Rows of (well, count or None where failed, reason), all at time point 0 unless given."""
    return pd.DataFrame(
        {
            "Metadata_Plate": ["P"] * len(rows),
            "Metadata_Well": [well for well, _, _ in rows],
            "Metadata_Site": range(1, len(rows) + 1),
            "Metadata_Time": times or [0] * len(rows),
            "Status": ["failed" if count is None else "done" for _, count, _ in rows],
            "Reason": [reason for _, _, reason in rows],
            "Flags": [""] * len(rows),
            "Count_Nuclei": pd.array([count for _, count, _ in rows], dtype="Int64"),
        }
    )


def test_flags_are_counted_per_well(tmp_path):
    table = fields(("A01", 0, ""), ("A01", 0, ""), ("A02", 0, ""))
    table["Flags"] = ["absent-pixels", "absent-pixels; other", ""]
    wells = by_well(nuclei(tmp_path / "n.parquet", [], []), table)
    assert wells["Flags"].tolist() == ["absent-pixels (2); other (1)", ""]


def nuclei(path, wells, areas, forms=None, row_group_size=2, times=None):
    table = pa.table(
        {
            "Metadata_Plate": pa.array(["P"] * len(wells), pa.string()),
            "Metadata_Well": pa.array(wells, pa.string()),
            "Metadata_Time": pa.array(times or [0] * len(wells), pa.int64()),
            "Metadata_ObjectNumber": pa.array(range(1, len(wells) + 1), pa.int64()),
            AREA: pa.array(areas, pa.int64()),
            FORM: pa.array(forms or [1.0] * len(wells), pa.float64()),
        }
    )
    pq.write_table(table, path, row_group_size=row_group_size)
    return path


def test_features_of_nuclei_and_cytoplasm_are_aggregated_and_metadata_is_not(tmp_path):
    path = nuclei(tmp_path / "n.parquet", ["A01"] * 2, [10, 20])
    table = pq.read_table(path)
    for name in ("Metadata_Nuclei_Orientation", "Cytoplasm_AreaShape_Area"):
        table = table.append_column(name, pa.array([30.0, 50.0]))
    pq.write_table(table, path)
    wells = by_well(path, fields(("A01", 2, "")))
    assert wells["Mean_Cytoplasm_AreaShape_Area"].tolist() == [40.0]
    assert not [name for name in wells if "Orientation" in name]


def test_nuclei_that_are_left_out_have_a_count_of_their_own(tmp_path):
    table = fields(("A01", 1, ""), ("A01", 0, ""), ("A02", None, "cut short"))
    table["Count_Nuclei_LeftOut"] = pd.array([2, 3, None], dtype="Int64")
    wells = by_well(nuclei(tmp_path / "n.parquet", ["A01"], [10]), table)
    assert wells["Count_Nuclei_LeftOut"].tolist() == [5, pd.NA]


def test_zero_nuclei_and_failed_images_are_not_the_same(tmp_path):
    table = nuclei(tmp_path / "n.parquet", ["A01"] * 3, [10, 20, 60])
    wells = by_well(
        table,
        fields(
            ("A01", 2, ""),
            ("A01", 1, ""),
            ("A01", None, "cut short"),
            ("A02", 0, ""),
            ("A03", None, "cut short"),
            ("A03", None, "cut short"),
            ("A03", None, "not a TIFF"),
        ),
    ).set_index("Metadata_Well")
    assert wells.loc["A01", "Count_Nuclei"] == 3
    assert wells.loc["A02", "Count_Nuclei"] == 0
    assert wells.loc["A03", "Count_Nuclei"] is pd.NA
    assert wells["Fields_Total"].tolist() == [3, 1, 3]
    assert wells["Fields_Done"].tolist() == [2, 1, 0]
    assert wells["Fields_Failed"].tolist() == [1, 0, 3]
    assert wells["Reason"].tolist() == ["cut short", "", "cut short; not a TIFF"]
    np.testing.assert_array_equal(wells["Count_Nuclei_PerField_Mean"], [1.5, 0, np.nan])
    np.testing.assert_array_equal(wells["Mean_" + AREA], [30, np.nan, np.nan])
    np.testing.assert_array_equal(wells["Median_" + AREA], [20, np.nan, np.nan])
    assert wells.loc["A01", "StDev_" + AREA] == pytest.approx(np.std([10, 20, 60], ddof=1))


@pytest.mark.parametrize("row_group_size", [1, 3, 100])
def test_time_points_are_separate_rows(tmp_path, row_group_size):
    # the order of a run: by well, then site, then time
    times = [0, 0, 1, 0, 1, 1, 2]
    path = nuclei(tmp_path / "n.parquet", ["A01"] * 7, [1, 2, 10, 3, 20, 30, 5], None, row_group_size, times)
    found = by_well(
        path,
        fields(
            *[("A01", 2, ""), ("A01", 1, ""), ("A01", 1, ""), ("A01", 2, "")],
            *[("A01", 1, ""), ("A01", None, "cut short")],
            *[("B01", 0, ""), ("B01", None, "gone")],
            times=[0, 1, 0, 1, 2, 2, 0, 1],
        ),
    )
    assert list(found["Metadata_Well"]) == ["A01"] * 3 + ["B01"] * 2
    assert list(found["Metadata_Time"]) == [0, 1, 2, 0, 1]
    assert found["Count_Nuclei"].tolist() == [3, 3, 1, 0, pd.NA]
    assert found["Fields_Total"].tolist() == [2, 2, 2, 1, 1]
    assert found["Fields_Failed"].tolist() == [0, 0, 1, 0, 1]
    assert found["Reason"].tolist() == ["", "", "cut short", "", "gone"]
    np.testing.assert_array_equal(found["Mean_" + AREA], [2, 20, 5, np.nan, np.nan])
    np.testing.assert_array_equal(found["Median_" + AREA], [2, 20, 5, np.nan, np.nan])


def test_counts_are_checked_per_time_point(tmp_path):
    path = nuclei(tmp_path / "n.parquet", ["A01"] * 3, [1, 1, 1], times=[0, 1, 1])
    with pytest.raises(StoreError, match="well A01 of P"):
        by_well(path, fields(("A01", 2, ""), ("A01", 1, ""), times=[0, 1]))


def test_wells_are_in_plate_order_even_on_1536(tmp_path):
    names = ["AA01", "B10", "B02", "A11"]
    table = nuclei(tmp_path / "n.parquet", [], [])
    wells = by_well(table, fields(*((name, 0, "") for name in names)))
    assert wells["Metadata_Well"].tolist() == ["A11", "B02", "B10", "AA01"]


@pytest.mark.parametrize("row_group_size", [1, 2, 5, 100])
def test_statistics_do_not_depend_on_row_groups(tmp_path, row_group_size):
    rng = np.random.default_rng(0)
    wells = ["A01"] * 7 + ["A02"] * 1 + ["B01"] * 12
    areas = rng.integers(20, 900, len(wells)).tolist()
    forms = rng.random(len(wells)).tolist()
    path = nuclei(tmp_path / "n.parquet", wells, areas, forms, row_group_size)
    found = by_well(path, fields(("A01", 7, ""), ("A02", 1, ""), ("B01", 12, "")))
    frame = pd.DataFrame({"well": wells, "form": forms})
    grouped = frame.groupby("well")["form"]
    np.testing.assert_allclose(found["Mean_" + FORM], grouped.mean(), rtol=1e-14)
    np.testing.assert_array_equal(found["Median_" + FORM], grouped.median())
    np.testing.assert_allclose(found["StDev_" + FORM], grouped.std(), rtol=1e-14)
    whole = by_well(
        nuclei(tmp_path / "whole.parquet", wells, areas, forms, 1000),
        fields(("A01", 7, ""), ("A02", 1, ""), ("B01", 12, "")),
    )
    pd.testing.assert_frame_equal(found, whole, check_exact=True)


def test_undefined_values_are_left_out(tmp_path):
    path = nuclei(tmp_path / "n.parquet", ["A01"] * 3, [1, 2, 3], [0.5, float("nan"), 0.7])
    found = by_well(path, fields(("A01", 3, "")))
    assert found.loc[0, "Mean_" + FORM] == pytest.approx(0.6)
    assert found.loc[0, "Median_" + FORM] == pytest.approx(0.6)


def test_statistics_are_those_of_each_measurement_by_itself(tmp_path):
    rng = np.random.default_rng(0)
    areas, forms = rng.integers(20, 900, 1001), rng.lognormal(size=1001)
    forms[17] = np.nan
    path = nuclei(tmp_path / "n.parquet", ["A01"] * 1001, areas, forms.tolist())
    found = by_well(path, fields(("A01", 1001, ""))).iloc[0]
    for name, values in ((AREA, areas), (FORM, forms[~np.isnan(forms)])):
        assert found["Mean_" + name] == values.mean()
        assert found["Median_" + name] == np.median(values)
        assert found["StDev_" + name] == values.std(ddof=1)


def test_columns_and_types_are_the_same_without_a_single_nucleus(tmp_path):
    some = by_well(nuclei(tmp_path / "a.parquet", ["A01"], [5]), fields(("A01", 1, "")))
    none = by_well(nuclei(tmp_path / "b.parquet", [], []), fields(("A01", None, "broken")))
    assert some.dtypes.to_dict() == none.dtypes.to_dict()
    assert list(some) == list(none)


def test_images_without_wells_make_no_row(tmp_path):
    path = nuclei(tmp_path / "n.parquet", ["", ""], [5, 6])
    found = by_well(path, fields(("", 2, "")))
    assert len(found) == 0
    assert "Mean_" + AREA in found


@pytest.mark.parametrize(
    ("wells", "counts", "message"),
    [
        (["A01"], [("A01", 2, "")], "has 1 nuclei of well A01 of P, its fields count 2"),
        ([], [("A01", 2, "")], "has no nuclei of well A01"),
        (["A02"], [("A01", 0, "")], "nuclei of well A02 of P, but no field"),
        (["A01", "A02", "A01"], [("A01", 1, ""), ("A02", 1, "")], "well A01 of P are not consecutive"),
        ([""], [("", 2, "")], r"has 1 nuclei of well \(none\)"),
    ],
)
def test_inconsistent_counts_are_an_error(tmp_path, wells, counts, message):
    path = nuclei(tmp_path / "n.parquet", wells, [1] * len(wells))
    with pytest.raises(StoreError, match=message):
        by_well(path, fields(*counts))


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(InputNotFound, match=r"nuclei\.parquet does not exist"):
        by_well(tmp_path / "nuclei.parquet", fields(("A01", 0, "")))


def test_the_users_columns_are_kept_where_a_wells_fields_agree(tmp_path):
    table = fields(("A01", 0, ""), ("A01", None, "gone"), ("A02", 0, ""), ("A02", 0, ""))
    table["Metadata_Dose"] = [0.5, 0.5, np.nan, np.nan]
    table["Metadata_Drug"] = ["x", "x", "x", "y"]
    wells = by_well(nuclei(tmp_path / "n.parquet", [], []), table)
    assert list(wells)[2:6] == ["Metadata_Time", "Metadata_Dose", "Metadata_Drug", "Count_Nuclei"]
    assert wells["Metadata_Dose"].isna().tolist() == [False, True]
    assert wells["Metadata_Drug"].iloc[0] == "x"
    assert pd.isna(wells["Metadata_Drug"].iloc[1])


def test_nuclei_that_count_in_another_field_are_left_out(tmp_path):
    path = nuclei(tmp_path / "n.parquet", ["A01"] * 4 + ["A02"], [10, 20, 60, 70, 5])
    table = pq.read_table(path)
    marked = table.append_column("Metadata_Counted", pa.array([True, False, True, True, False]))
    marked = marked.append_column("Metadata_PixelSize_um", pa.array([0.5] * 5))
    pq.write_table(marked, path)
    seen = fields(("A01", 1, ""), ("A01", 2, ""), ("A02", 0, ""), ("A03", None, "broken"))
    seen["Count_Nuclei_Seen"] = pd.array([2, 2, 1, None], dtype="Int64")
    seen["Metadata_PositionX_um"] = [0.0, 1.0, 2.0, 3.0]
    found = by_well(path, seen, {("A01", 0): 2e-4, ("A02", 0): 1e-4}).set_index("Metadata_Well")
    assert "Metadata_PositionX_um" not in found
    assert found["Count_Nuclei"].tolist() == [3, 0, pd.NA]
    assert found["Count_Nuclei_Seen"].tolist() == [4, 1, pd.NA]
    assert found.loc["A01", "Median_" + AREA] == 60
    np.testing.assert_allclose(found["Area_Covered_mm2"], [2e-4, 1e-4, np.nan])
    np.testing.assert_allclose(found["Count_Nuclei_PerMm2"], [15_000, 0, np.nan])
    np.testing.assert_allclose(found["Confluence_Nuclei"], [140 * 0.25 / 200, 0, np.nan])


def test_without_a_pixel_size_there_is_no_area(tmp_path):
    found = by_well(nuclei(tmp_path / "n.parquet", ["A01"], [10]), fields(("A01", 1, "")))
    assert not {"Area_Covered_mm2", "Count_Nuclei_PerMm2", "Confluence_Nuclei"} & set(found)
