"""Dose-response curves: a drawn one is found within its error, and what is no curve is refused."""

import numpy as np
import pandas as pd
import pytest

from nucbatch.experiment.dose_response import curve, fit_curve
from nucbatch.experiment.doses import dose_table

DOSES = np.tile(np.r_[0.0, 1000 / 3.0 ** np.arange(9)], 4)
TRUE = {"bottom": 0.8, "top": 6.2, "slope": 1.3, "midpoint": 40.0}


def drawn(noise, seed=0, **changes):
    rng = np.random.default_rng(seed)
    return curve(DOSES, **(TRUE | changes), axis="concentration") + rng.normal(0, noise, len(DOSES))


def test_a_curve_without_noise_is_found_exactly():
    fit = fit_curve(DOSES, drawn(0), "concentration")
    found = (fit.status, fit.bottom, fit.top, fit.slope, fit.midpoint)
    assert found[0] == ""
    assert found[1:] == pytest.approx(tuple(TRUE.values()), rel=1e-4)
    assert fit.r2 == pytest.approx(1)


@pytest.mark.parametrize("slope", [1.3, -1.3, 3.0, 0.7])
def test_ec50_comes_out_within_five_percent(slope):
    fit = fit_curve(DOSES, drawn(0.12, slope=slope), "concentration")
    assert fit.midpoint == pytest.approx(40, rel=0.05)
    assert fit.low < 40 < fit.high
    assert fit.slope == pytest.approx(slope, rel=0.2)
    assert (fit.bottom, fit.top) == pytest.approx((0.8, 6.2), abs=0.2)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    fits = [fit_curve(DOSES, drawn(0.4, seed), "concentration") for seed in range(30)]
    inside = sum(fit.low <= 40 <= fit.high for fit in fits)
    assert 26 <= inside <= 30


def test_outliers_are_left_out_and_counted():
    y = drawn(0.1)
    y[[3, 14]] = [40.0, -20.0]
    fit = fit_curve(DOSES, y, "concentration")
    assert fit.outliers == 2
    assert fit.wells == len(y) - 2
    assert fit.midpoint == pytest.approx(40, rel=0.05)


def test_steps_stay_steps():
    steps = np.tile(np.arange(0.0, 10), 3)
    y = curve(steps, 1, 5, 0.8, 4.4, "step") + np.random.default_rng(1).normal(0, 0.05, len(steps))
    fit = fit_curve(steps, y, "step")
    assert fit.midpoint == pytest.approx(4.4, abs=0.1)
    assert curve([0.0], 1, 5, 0.8, 4.4, "step")[0] == 1


@pytest.mark.parametrize(
    ("doses", "values", "status"),
    [
        (DOSES, np.random.default_rng(0).normal(3, 0.2, len(DOSES)), "flat: a constant fits as well"),
        (DOSES, np.full(len(DOSES), 2.0), "flat: all wells have the same value"),
        (DOSES[:4], drawn(0)[:4], "3 different doses above 0 in 4 wells"),
        (DOSES, np.full(len(DOSES), np.nan), "0 different doses above 0 in 0 wells"),
        (DOSES, curve(DOSES, 0, 9, 1, 9000, "concentration"), "the midpoint lies above the highest dose"),
        (DOSES, curve(DOSES, 0, 9, 1, 0.005, "concentration"), "the midpoint lies below the lowest dose"),
    ],
)
def test_what_is_no_curve_is_refused_with_a_reason(doses, values, status):
    fit = fit_curve(doses, values, "concentration")
    assert fit.status.startswith(status)
    assert np.isnan([fit.bottom, fit.top, fit.slope, fit.midpoint]).all()


def wells(doses, values, controls):
    return pd.DataFrame(
        {
            "Metadata_Plate": "P",
            "Metadata_Well": [f"A{n:02d}" for n in range(len(doses))],
            "Metadata_Time": 0,
            "Metadata_Dose": doses,
            "Metadata_AssayControl": controls,
            "Mean_X": values,
        }
    )


def test_positive_controls_are_no_part_of_the_curve_and_steps_give_no_ec50():
    steps = np.tile(np.arange(0.0, 11), 3)
    y = curve(steps, 1, 5, 0.8, 4.4, "step") + np.random.default_rng(1).normal(0, 0.05, len(steps))
    y[steps == 10] = 50  # a mark: the positive control is another compound
    controls = np.select([steps == 10, steps == 0], ["positive", "negative"], "")
    row = dose_table(wells(steps, y, controls), ["Mean_X"], "Metadata_Dose", "step", "").iloc[0]
    assert (row["Wells"], row["Axis"], row["Unit"], row["Status"]) == (30, "step", "", "")
    assert row["Midpoint_Step"] == pytest.approx(4.4, abs=0.1)
    assert np.isnan([row["EC50"], row["EC50_Low"], row["EC50_High"]]).all()


def test_concentrations_give_an_ec50_with_their_unit():
    table = wells(DOSES, drawn(0.1), [""] * len(DOSES))
    row = dose_table(table, ["Mean_X"], "Metadata_Dose", "concentration", "nM").iloc[0]
    assert row["EC50"] == pytest.approx(40, rel=0.05)
    assert (row["Unit"], row["Status"]) == ("nM", "")
    assert np.isnan([row["Midpoint_Step"], row["Midpoint_Step_Low"], row["Midpoint_Step_High"]]).all()
