"""Histograms of nuclei per well: exact counts, limits, and nuclei that are left out."""

import numpy as np
import pandas as pd
import pytest

from nucbatch.report.nucleus_histograms import histograms, measured_columns


@pytest.fixture
def table(tmp_path):
    """nuclei.parquet of three wells in several row groups; one nucleus counts elsewhere."""
    values = np.arange(100.0)
    frame = pd.DataFrame(
        {
            "Metadata_Plate": "P1",
            "Metadata_Well": np.repeat(["A01", "A02", "B01", "B02"], 25),
            "Metadata_Time": 0,
            "Metadata_Counted": values != 3,
            "Nuclei_A": values,
            "Nuclei_Constant": 7,
            "Nuclei_Undefined": np.nan,
            "Nuclei_Name": "text",
        }
    )
    path = tmp_path / "nuclei.parquet"
    frame.to_parquet(path, row_group_size=30)
    return path


WELLS = [("P1", "A01", 0), ("P1", "A02", 0), ("P1", "B01", 0)]


def test_every_nucleus_that_counts_is_in_one_bin_of_its_well(table):
    (found,) = histograms(table, WELLS, ["Nuclei_A"], 4, (0, 100))
    assert (found.low, found.high) == (0, 99)
    assert found.counts.tolist() == [[24, 0, 0, 0], [0, 25, 0, 0], [0, 0, 25, 0]]
    assert (found.below, found.above) == (0, 0)


def test_nuclei_beyond_the_limits_are_in_the_outermost_bins_and_counted(table):
    (found,) = histograms(table, WELLS, ["Nuclei_A"], 2, (10, 60))
    assert found.counts.sum() == 74
    assert found.below == 9  # 0 to 9 without the one that counts elsewhere
    assert found.above == 15  # 60 to 74; the last well is not asked for


def test_columns_without_two_values_have_no_histogram(table):
    assert histograms(table, WELLS, ["Nuclei_Constant", "Nuclei_Undefined"], 4, (0, 100)) == []
    assert measured_columns(table) == ["Nuclei_A", "Nuclei_Constant", "Nuclei_Undefined"]


def test_an_empty_table_has_none(tmp_path):
    path = tmp_path / "nuclei.parquet"
    columns = {"Metadata_Plate": "", "Metadata_Well": "", "Metadata_Time": 0, "Nuclei_A": 1.5}
    pd.DataFrame([columns]).iloc[:0].to_parquet(path)
    assert histograms(path, WELLS, ["Nuclei_A"], 4, (0, 100)) == []


def test_nuclei_are_counted_at_their_own_time_point_and_plate(tmp_path):
    wells = [("P1", "A01", 1), ("P2", "A01", 0)]
    frame = pd.DataFrame(
        {
            "Metadata_Plate": ["P1", "P1", "P2", "P2", "P3"],
            "Metadata_Well": "A01",
            "Metadata_Time": [0, 1, 0, 1, 0],
            "Nuclei_A": [0.0, 1.0, 2.0, 3.0, 4.0],
        }
    )
    frame.to_parquet(tmp_path / "nuclei.parquet")
    (found,) = histograms(tmp_path / "nuclei.parquet", wells, ["Nuclei_A"], 4, (0, 100))
    assert found.counts.tolist() == [[0, 1, 0, 0], [0, 0, 1, 0]]


def test_parts_in_which_no_nucleus_counts_add_nothing(tmp_path):
    frame = pd.DataFrame(
        {
            "Metadata_Plate": "P1",
            "Metadata_Well": "A01",
            "Metadata_Time": 0,
            "Metadata_Counted": [False, False, True, True],
            "Nuclei_A": [0.0, 1.0, 2.0, 3.0],
        }
    )
    frame.to_parquet(tmp_path / "nuclei.parquet", row_group_size=2)
    (found,) = histograms(tmp_path / "nuclei.parquet", [("P1", "A01", 0)], ["Nuclei_A"], 3, (0, 100))
    assert found.counts.tolist() == [[0, 0, 2]]
