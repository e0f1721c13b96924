"""The panel of the assay: the table of Z' and curves drawn from the tables of a run."""

import re

import pandas as pd
import pytest

from nucbatch.experiment.dose_response import curve
from nucbatch.report.assay import render
from nucbatch.report.run_data import RunData

MEASURE = "Mean_Nuclei_Ratio"
ROW = {"Metadata_Plate": "P1", "Metadata_Time": 0, "Series": "", "Measure": MEASURE}
CURVE = {"Bottom": 1.0, "Top": 5.0, "Slope": 1.0, "R2": 0.99, "Wells": 5, "Outliers": 0, "Status": ""}
STEP = {"Axis": "step", "Unit": "", "Midpoint_Step": 2.0, "Midpoint_Step_Low": 1.5, "Midpoint_Step_High": ""}
CONCENTRATION = {"Axis": "concentration", "Unit": "µM", "EC50": 0.1, "EC50_Low": 0.05, "EC50_High": 0.2}
EMPTY = dict.fromkeys(["EC50", "EC50_Low", "EC50_High"], "")


def described(make_run, doses, fits, controls=("negative", "", "", "", "positive"), assay=None):
    """A run with one well per dose, on the curve, and the rows of doses.csv and assay.csv."""
    fields = [make_run.field(f"B{column:02d}", 1, 9) for column in range(1, len(doses) + 1)]
    axis = fits[0]["Axis"]
    middle = 2.0 if axis == "step" else 0.1
    columns = {"Metadata_Dose": doses, "Metadata_AssayControl": controls}
    columns[MEASURE] = curve(doses, 1, 5, 1, middle, axis)
    experiment = {"dose_column": "Metadata_Dose", "shown_measures": [MEASURE], "positive": ["Dose=9"]}
    run = make_run(fields, run=make_run.run | {"experiment": experiment}, **columns)
    pd.DataFrame(fits).to_csv(run.doses, index=False)
    if assay:
        pd.DataFrame(assay).to_csv(run.assay, index=False)
    return RunData(run)


def points(html):
    found = re.findall(r'<circle class="point ?(\w*)" cx="([\d.]+)" cy="([\d.]+)"', html)
    return [(control, float(x), float(y)) for control, x, y in found]


def line(html):
    path = re.search(r'class="fit" d="M([^"]+)"', html)[1]
    return [tuple(map(float, pair.split())) for pair in path.split("L")]


@pytest.mark.parametrize(
    ("doses", "fit", "label", "found"),
    [
        ([0, 1, 2, 3, 9], STEP | EMPTY, "step of the dilution series", "Midpoint at step 2 (95 %: 1.5 to"),
        ([0, 0.01, 0.1, 1, 10], CONCENTRATION, "concentration, µM", "EC50 0.1 µM (95 %: 0.05 to 0.2)"),
    ],
)
def test_a_curve_is_drawn_through_its_wells_on_a_named_axis(make_run, doses, fit, label, found):
    html = str(render(described(make_run, doses, [ROW | CURVE | fit])))
    assert f">{label}</text>" in html
    assert found in html
    wells = points(html)
    assert [control for control, _, _ in wells] == ["negative", "", "", "", "positive"]
    drawn = line(html)
    for _, x, y in wells[1:]:  # the wells lie on the curve, so the line goes through the points
        nearest = min(drawn, key=lambda place: abs(place[0] - x))
        assert abs(nearest[1] - y) < 6
    assert wells[0][1] < min(x for x, _ in drawn)  # dose 0 stands apart


def test_without_a_curve_the_wells_are_drawn_and_the_reason_is_said(make_run):
    fit = ROW | CURVE | STEP | EMPTY | {"Status": "flat: a constant fits as well (p = 0.6)"}
    html = str(render(described(make_run, [0, 1, 2, 3, 9], [fit])))
    assert "No curve: flat: a constant fits as well" in html
    assert len(points(html)) == 5
    assert 'class="fit"' not in html


def test_the_table_has_the_measures_shown_and_then_the_best(make_run):
    names = [f"{kind}_{name}" for kind in ("Positive", "Negative") for name in ("Wells", "Mean", "StDev")]
    numbers = dict.fromkeys(names, 4)
    scores = {"SSMD": 2.0, "ZPrime_Robust": 0.4, "Reason": ""}
    assay = [
        ROW | numbers | scores | {"Measure": name, "ZPrime": zprime}
        for name, zprime in (("poor", -1.0), ("best", 0.8), ("good", 0.6), (MEASURE, 0.1))
    ]
    html = str(render(described(make_run, [0, 1, 2, 3, 9], [ROW | CURVE | STEP | EMPTY], assay=assay)))
    assert re.findall(r'<td class="path">([^<]+)</td>', html) == [MEASURE, "best", "good", "poor"]
    assert re.findall(r'<td class="num good">([^<]+)</td>', html) == ["0.80", "0.60"]


def test_a_run_without_an_experiment_has_no_such_panel(make_run):
    assert render(RunData(make_run([make_run.field("B02", 1, 3)]))) == ""
