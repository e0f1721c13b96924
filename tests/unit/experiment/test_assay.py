"""Separation of controls and normalisation, against values worked out by hand; missing wells are never 0."""

import numpy as np
import pandas as pd
import pytest

from nucbatch.core.errors import InputError
from nucbatch.experiment.assay import assay_table, doubtful_controls, normalised_table, separation
from nucbatch.experiment.measure_choice import best_measure, chosen_measures, measures_of, varying_ratio

M = "Mean_Nuclei_Intensity_MeanIntensity_GFP"


def plate(values, controls, series=None, times=None, plates=None, **more):
    columns = {
        "Metadata_Plate": plates or ["P"] * len(values),
        "Metadata_Well": [f"A{n + 1:02d}" for n in range(len(values))],
        "Metadata_Time": times or [0] * len(values),
        "Metadata_AssayControl": [{"+": "positive", "-": "negative"}.get(one, "") for one in controls],
        M: np.array(values, float),
    }
    if series:
        columns["Metadata_AssaySeries"] = [one.strip() for one in series]
    return pd.DataFrame(columns | more)


def test_the_statistics_are_those_of_their_papers():
    positive, negative = np.array([90.0, 100, 110, 100]), np.array([9.0, 10, 11, 10])
    z, ssmd, robust, reason = separation(positive, negative)
    sp, sn = np.sqrt(200 / 3), np.sqrt(2 / 3)
    assert z == pytest.approx(1 - 3 * (sp + sn) / 90)
    assert ssmd == pytest.approx(90 / np.sqrt(sp**2 + sn**2))
    assert robust == pytest.approx(1 - 3 * 1.4826 * (5 + 0.5) / 90)
    assert reason == ""


@pytest.mark.parametrize(
    ("positive", "negative", "reason"),
    [
        ([1, 2], [4, 5, 6], "2 positive control wells with a value, 3 are needed"),
        ([1, 2, 3], [], "0 negative control wells with a value, 3 are needed"),
        ([5, 5, 5], [4, 5, 6], "both controls have the same mean"),
    ],
)
def test_without_enough_wells_there_is_a_reason_and_no_number(positive, negative, reason):
    *figures, why = separation(np.array(positive, float), np.array(negative, float))
    assert np.isnan(figures).all()
    assert why == reason


def test_failed_wells_are_missing_and_not_zero():
    row = assay_table(plate([10, 11, 12, np.nan, 1, 2, 3, np.nan], "++++----"), [M]).iloc[0]
    assert (row["Positive_Wells"], row["Negative_Wells"]) == (3, 3)
    assert (row["Positive_Mean"], row["Negative_Mean"]) == (11, 2)
    percent = normalised_table(plate([10, 11, 12, np.nan, 1, 2, 3, np.nan], "++++----"), [M])
    assert np.isnan(percent[f"PercentEffect_{M}"][[3, 7]]).all()


def test_series_have_their_own_controls_or_share_those_of_none():
    values = [10, 11, 12, 1, 2, 3, 5, 100, 110, 120, 10, 20, 30, 50]
    own = assay_table(plate(values, "+++---." * 2, "aaaaaaabbbbbbb"), [M])
    assert own["Series"].tolist() == ["a", "b"]
    assert own["Positive_Mean"].tolist() == [11, 110]
    shared = assay_table(plate(values, "+++---. ......", "       bbbbccc"), [M])
    assert shared["Series"].tolist() == ["b", "c"]
    assert shared["Positive_Mean"].tolist() == [11, 11]
    named = assay_table(
        plate(values, "+++---........", "ppp---cbbbbccc"), [M]
    )  # controls as series of their own
    assert named["Series"].tolist() == ["c", "b"]
    assert named["Negative_Mean"].tolist() == [2, 2]


def test_plates_and_time_points_are_judged_apart():
    values = [10, 11, 12, 1, 2, 3]
    two = plate(values + [10 * one for one in values], "+++---" * 2, times=[0] * 6 + [1] * 6)
    assert assay_table(two, [M])["Positive_Mean"].tolist() == [11, 110]
    two = plate(values + [10 * one for one in values], "+++---" * 2, plates=["Q"] * 6 + ["P"] * 6)
    assert assay_table(two, [M])[["Metadata_Plate", "Positive_Mean"]].to_numpy().tolist() == [
        ["P", 110.0],
        ["Q", 11.0],
    ]
    assert normalised_table(two, [M])[f"PercentEffect_{M}"][[0, 6]].tolist() == pytest.approx([800 / 9] * 2)


def test_percent_of_control_percent_effect_and_z_score():
    table = normalised_table(plate([90, 100, 110, 9, 10, 11, 55], "+++---."), [M])
    last = table.iloc[6]
    assert last[f"PercentOfControl_{M}"] == pytest.approx(550)
    assert last[f"PercentEffect_{M}"] == pytest.approx(50)
    assert last[f"ZScore_{M}"] == pytest.approx(45)
    assert table["Metadata_Well"].tolist()[-1] == "A07"


def test_the_best_measure_is_best_in_its_worst_series():
    good, lucky = "Mean_Nuclei_A", "Mean_Nuclei_B"
    wells = plate(
        [0] * 12,
        "+++---" * 2,
        "aaaaaabbbbbb",
        **{
            good: [10, 11, 12, 1, 2, 3] * 2,
            lucky: [100, 101, 102, 1, 2, 3, 5, 6, 9, 1, 2, 3],
        },
    )
    assert best(wells, M, lucky, good) == good
    assert best(plate([1, 2], "+-"), M) == ""


def best(wells, *measures):
    return best_measure(wells, assay_table(wells, measures), measures)


def test_series_with_one_well_of_each_control_choose_by_all_their_controls():
    noise, good = "Mean_Nuclei_A", "Mean_Nuclei_B"
    wells = plate(
        [0] * 9, "+- " * 3, "aaabbbccc", **{noise: [1, 2, 3, 2, 1, 3, 1, 3, 2], good: [9, 1, 5] * 3}
    )
    wells[good] += [0.1, 0, 0, 0, 0.1, 0, 0, 0, 0]
    assert best(wells, noise, good) == good


def test_a_measure_that_lost_a_control_well_is_better_than_noise():
    noise, good, alike = "Mean_Nuclei_A", "Mean_Nuclei_B", "Mean_Nuclei_C"
    wells = plate(
        [0] * 6,
        "+++---",
        **{
            noise: [1, 2, 3, 3, 1, 2.5],
            good: [9, 9.1, np.nan, 1, 1.1, 1],
            alike: [5, 5, np.nan, 4, 4, 4],
        },
    )
    assert best(wells, noise, good, alike) == good
    assert best(wells, noise) == noise


def test_without_controls_the_ratio_that_varies_is_shown():
    dna, marker = (f"Median_Nuclei_Math_NucleusCytoplasmRatio_{name}" for name in ("DAPI", "GFP"))
    wells = plate([1, 2, 3], "   ", **{dna: [10, 10.1, 9.9], marker: [0.7, 1.2, 4.0]})
    assert varying_ratio(wells, [M, dna, marker]) == marker
    assert varying_ratio(wells, [M, dna]) == dna
    assert varying_ratio(wells, [M]) == M


def test_measures_are_counts_means_and_medians_that_can_show_an_effect():
    wells = plate(
        [1.0],
        ".",
        Count_Nuclei_PerField_Mean=[3.0],
        Mean_Nuclei_Location_Center_X=[1.0],
        StDev_Nuclei_AreaShape_Area=[1.0],
        Median_Cytoplasm_AreaShape_Area=[1.0],
        Count_Nuclei=[3],
    )
    known = ["Count_Nuclei_PerField_Mean", M, "Median_Cytoplasm_AreaShape_Area"]
    assert measures_of(wells) == known
    assert chosen_measures(["nuclei_intensity_meanintensity_gfp", known[2]], known) == [M, known[2]]
    with pytest.raises(
        InputError, match=r"no such measure\. The nearest are Median_Cytoplasm_AreaShape_Area"
    ):
        chosen_measures(["Cytoplasm_Aria"], known)


def test_controls_that_look_like_the_other_kind_are_named():
    (sentence,) = doubtful_controls(plate([10, 11, 1.5, 12, 1, 2, 3], "++++---"), M)
    assert "positive A03. Are these wells labelled correctly?" in sentence
    assert doubtful_controls(plate([10, 11, 12, 1, 2, np.nan], "+++---"), M) == []
