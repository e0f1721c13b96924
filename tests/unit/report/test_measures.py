"""Measures of the plate map: which there are, their values and the limits of their colours."""

import numpy as np
import pytest

from nucbatch.report.measures import colour_range, well_measures
from nucbatch.report.run_data import RunData


@pytest.mark.parametrize(
    ("values", "limits"),
    [
        ([5, 100] * 50, (0, 100)),
        ([80, 100] * 50, (80, 100)),
        ([100, 100], (0, 100)),
        ([], (0, 1)),
        ([np.nan], (0, 1)),
        ([0, 0], (0, 1)),
        ([-3, -3], (-3, 0)),
        ([-2, 2] * 50, (-2, 2)),
        ([10] * 99 + [30], (0, 30)),
        ([3, 4] * 49 + [3, 9_000], (3, 4)),  # one well far off does not take the colours from the others
    ],
)
def test_limits_are_percentiles_and_begin_at_zero_unless_all_values_are_high(values, limits):
    low, high = colour_range(np.array(values, float))
    assert (round(low), round(high)) == limits


def test_counts_quality_means_and_medians_are_measures(make_run):
    fields = [
        make_run.field("B02", 1, 4, QC_Focus=0.1),
        make_run.field("B02", 2, 8, QC_Focus=0.3),
        make_run.field("B03", 1, 6, QC_Focus=0.5),
        make_run.field("B03", 2, None, QC_Focus=np.nan),
        make_run.field("B04", 1, None, QC_Focus=np.nan),
    ]
    columns = {"Mean_Nuclei_A": [1.5, 2.5, np.nan], "Median_Nuclei_A": [1, 2, np.nan], "StDev_Nuclei_A": 0.1}
    measures = {one.name: one.values.tolist() for one in well_measures(RunData(make_run(fields, **columns)))}
    assert list(measures) == [
        "Count_Nuclei_PerField_Mean", "Count_Nuclei", "QC_Focus", "Mean_Nuclei_A", "Median_Nuclei_A"
    ]  # fmt: skip
    assert measures["Count_Nuclei_PerField_Mean"] == pytest.approx([6, 6, np.nan], nan_ok=True)
    assert measures["Count_Nuclei"] == pytest.approx([12, np.nan, np.nan], nan_ok=True)  # B03 is incomplete
    assert measures["QC_Focus"] == pytest.approx([0.2, 0.5, np.nan], nan_ok=True)
    assert measures["Mean_Nuclei_A"] == pytest.approx([1.5, 2.5, np.nan], nan_ok=True)


def test_a_plate_whose_name_a_spreadsheet_would_execute_finds_its_row(make_run):
    run = make_run([make_run.field("B02", 1, 4, plate="=1+2")], Mean_Nuclei_A=[1.5])
    table = run.wells.read_text().replace("=1+2", "'=1+2")  # as wells.csv escapes it
    run.wells.write_text(table)
    assert [one.values.tolist() for one in well_measures(RunData(run))] == [[4], [4], [1.5]]
