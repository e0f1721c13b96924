"""What the page's script draws as distributions, the edge effect, and the histogram of DNA."""

import base64
import json
import re

import numpy as np
import pandas as pd
import pytest

from nucbatch.report import distributions, dna, quality
from nucbatch.report.edge_effect import edge_effect
from nucbatch.report.run_data import RunData


def block(html, name):
    return json.loads(re.search(rf'<template id="{name}-data">(.*?)</template>', str(html))[1])


def test_wells_of_the_outermost_rows_and_columns_are_outer(make_run):
    names = ["A05", "B02", "H01", "D12", "G11"]
    data = RunData(make_run([make_run.field(name, 1, 5) for name in names]))
    outer = distributions.outer_wells(data)
    assert {well.name for well, one in zip(data.wells, outer, strict=True) if one} == {"A05", "H01", "D12"}


def test_an_edge_effect_is_found_and_none_where_there_is_none():
    rng = np.random.default_rng(0)
    outer = np.arange(96) < 36
    effect = edge_effect(np.where(outer, 80, 100) + rng.normal(0, 5, 96), outer)
    assert effect.p < 1e-6
    assert effect.delta < -0.9
    assert effect.outer_median == pytest.approx(80, abs=3)
    assert (effect.outer_wells, effect.inner_wells) == (36, 60)
    assert edge_effect(rng.normal(0, 5, 96), outer).p > 0.01
    assert edge_effect(np.where(outer, np.nan, 1.0), outer) is None


def test_controls_do_not_count_in_the_edge_effect(make_run):
    wells = [f"{row}{column:02d}" for row in "ABC" for column in range(1, 13)]
    fields = [make_run.field(name, 1, 1000 if name.endswith("01") else 10) for name in wells]
    controls = ["positive" if name.endswith("01") else "" for name in wells]
    run = make_run(fields, Metadata_AssayControl=controls)
    found = block(distributions.render(RunData(run)), "distributions")
    assert found["controls"] == controls
    assert found["edge"][0][:2] == [10, 10]
    assert found["edge"][0][4:] == [13, 20]


def test_nuclei_of_each_well_are_counted_in_bins(make_run):
    run = make_run([make_run.field("A01", 1, 60), make_run.field("A02", 1, 40)])
    nuclei = {"Metadata_Plate": "P1", "Metadata_Well": ["A01"] * 60 + ["A02"] * 40, "Metadata_Time": 0}
    pd.DataFrame(nuclei | {"Nuclei_AreaShape_Area": np.arange(100)}).to_parquet(run.nuclei)
    (found,) = block(distributions.render(RunData(run)), "distributions")["nuclei"]
    counts = np.frombuffer(base64.b64decode(found["counts"]), "<u2").reshape(2, distributions.BINS)
    assert counts.sum(axis=1).tolist() == [60, 40]
    assert found["name"] == "Nuclei_AreaShape_Area"


def test_quality_figures_come_with_their_thresholds_and_flags(make_run):
    fields = [make_run.field("A01", 1, 6, QC_Haze=1.0), make_run.field("A02", 1, 4, QC_Haze=9.0)]
    threshold = {"QC_Haze": {"flag": "haze", "low": None, "high": 5.0, "why": "the plate's median"}}
    run = make_run.run | {"quality": {"limits": "Limits are of this plate.", "thresholds": threshold}}
    html = quality.render(RunData(make_run(fields, run=run, Flags=["", "haze (1)"])))
    found = block(html, "quality")
    assert found["thresholds"] == {"QC_Haze": {"flag": "haze", "low": None, "high": 5.0}}
    assert found["flags"] == ["", "haze (1)"]
    assert "Limits are of this plate." in html


@pytest.mark.parametrize("name", ["IntegratedIntensity", "BackgroundCorrectedIntegratedIntensity"])
def test_dna_has_marks_at_its_peak_and_at_twice_that(make_run, name):
    run = make_run([make_run.field("A01", 1, 3000)])
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(1000, 60, 2000), rng.normal(2000, 90, 1000)])
    columns = {"Metadata_Plate": "P1", "Metadata_Well": "A01", "Metadata_Time": 0}
    pd.DataFrame(columns | {f"Nuclei_Intensity_{name}_DAPI": values}).to_parquet(run.nuclei)
    html = str(dna.render(RunData(run)))
    assert ("background is not subtracted" in html) == (name == "IntegratedIntensity")
    marks = [float(x) for x in re.findall(r'class="middle" d="M([\d.]+)', html)]
    labels = re.findall(r'<text x="([\d.]+)"[^>]*text-anchor="middle">(\d+)</text>', html)
    ticks = {text: float(x) for x, text in labels}
    per_unit = (ticks["2000"] - ticks["1000"]) / 1000
    assert marks == pytest.approx([ticks["1000"], ticks["2000"]], abs=60 * per_unit)


def test_few_nuclei_have_no_histogram_of_dna(make_run):
    run = make_run([make_run.field("A01", 1, 5)])
    columns = {"Metadata_Plate": "P1", "Metadata_Well": "A01", "Metadata_Time": 0}
    columns["Nuclei_Intensity_IntegratedIntensity_DAPI"] = np.arange(5.0)
    pd.DataFrame(columns).to_parquet(run.nuclei)
    assert dna.render(RunData(run)) == ""
