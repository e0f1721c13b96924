"""Every panel that the entry points list: what it must be, and that it shows names without running them."""

import json
from importlib.metadata import entry_points

import pandas as pd
import pytest
from markupsafe import Markup

from nucbatch.report.panel import GROUP, Panel, _environment, load_panels
from nucbatch.report.run_data import RunData
from nucbatch.store.run_folder import RunFolder

NASTY = '<script>alert("x")</script>&"\''


@pytest.fixture
def hostile(tmp_path):
    """A run in which each name, reason and value is markup."""
    done = {
        "Metadata_Plate": NASTY,
        "Metadata_Well": "B02",
        "Metadata_Site": 1,
        "Metadata_Time": 0,
        "Metadata_Image": "B/2/1",
        "Name": NASTY,
        "Count_Nuclei": 3,
        "Status": "done",
        "Reason": NASTY,
        "Flags": NASTY,
    }
    failed = done | {"Metadata_Well": "B03", "Count_Nuclei": pd.NA, "Status": "failed"}
    pd.DataFrame([done, failed]).astype({"Count_Nuclei": "Int64"}).to_parquet(tmp_path / "fields.parquet")
    files = [
        {"path": NASTY, "status": status, "reason": NASTY} for status in ("used", "ignored", "quarantined")
    ]
    pd.DataFrame(files).to_csv(tmp_path / "files.csv", index=False)
    well = {"Metadata_Plate": NASTY, "Metadata_Well": "B02", "Metadata_Time": 0, f"Mean_{NASTY}": 1.5}
    counts = {"Count_Nuclei": 3, "Count_Nuclei_PerField_Mean": 3.0}
    pd.DataFrame([well | counts]).to_csv(tmp_path / "wells.csv", index=False)
    run = {
        NASTY: NASTY,
        "experiment": {"positive": [NASTY], "remarks": [NASTY], "shown_measures": [NASTY]},
        "settings": {"labels": "tiff"},
        "model": {NASTY: [NASTY]},
        "timings": {"wall_s": 1.0, "wall_fields": 1, "stations_s": {NASTY: 1.0}},
    }
    assay = {"Metadata_Plate": NASTY, "Metadata_Time": 0, "Series": NASTY, "Measure": NASTY, "Reason": NASTY}
    kinds = {f"{kind}_{name}": 3 for kind in ("Positive", "Negative") for name in ("Wells", "Mean", "StDev")}
    scores = {"ZPrime": 0.5, "SSMD": 1.0, "ZPrime_Robust": 0.5}
    pd.DataFrame([assay | kinds | scores]).to_csv(tmp_path / "assay.csv", index=False)
    doses = {"Axis": "concentration", "Unit": NASTY, "Status": NASTY, "Outliers": 0, "Wells": 3}
    pd.DataFrame([assay | doses]).to_csv(tmp_path / "doses.csv", index=False)
    (tmp_path / "run.json").write_text(json.dumps(run), encoding="utf-8")
    return RunData(RunFolder(tmp_path))


@pytest.mark.parametrize("name", [entry.name for entry in entry_points(group=GROUP)])
def test_a_panel_has_a_title_a_place_and_escapes_what_it_shows(name, hostile):
    panel = load_panels()[name]
    assert isinstance(panel, Panel)
    assert panel.title
    html = panel.render(hostile)
    assert isinstance(html, Markup)
    for forbidden in ("<script", "http://", "https://", "@import", "javascript:"):
        assert forbidden not in html


def test_panels_come_in_the_order_they_ask_for():
    orders = [panel.order for panel in load_panels().values()]
    assert orders == sorted(orders)
    assert len(orders) == len(set(orders)) >= 5


def test_templates_are_compiled_once_in_a_process(hostile):
    panel = load_panels()["summary"]
    panel.render(hostile)
    template = _environment().get_template("summary.html")
    panel.render(hostile)
    assert _environment().get_template("summary.html") is template
