"""The fields that a click on a well shows: which, how large, and in which channels."""

import json

import pandas as pd
import pytest

from nucbatch.core.plate import Channel
from nucbatch.report import thumbnails
from nucbatch.report.run_data import RunData
from nucbatch.report.thumbnails import choose_shots
from nucbatch.report.wells import Well, WellState


def wells_of(*names):
    return [Well("P1", name, 0, WellState.COUNTED, 1, 1, 0, 0, 0) for name in names]


def table(*names):
    return pd.DataFrame({"Metadata_Plate": "P1", "Metadata_Well": names, "Metadata_Time": 0})


def test_every_well_has_its_first_field_before_any_has_a_second():
    done = table("A01", "A01", "A01", "A02", "A03", "A03")
    chosen = choose_shots(done, wells_of("A01", "A02", "A03"), 4)
    assert [(shot.well, shot.row) for shot in chosen] == [(0, 0), (0, 1), (1, 3), (2, 4)]
    assert len(choose_shots(done, wells_of("A01", "A02", "A03"), 99)) == 6


def test_fields_of_wells_that_are_not_drawn_are_left_out():
    assert [shot.row for shot in choose_shots(table("A01", "B01", ""), wells_of("B01"), 9)] == [1]


def test_each_counted_field_has_its_channels_and_outlines(tmp_path, draw_run):
    data = RunData(draw_run(tmp_path, [("B02", 8), ("B02", 5), ("B03", 0), ("B04", None)]))
    found = thumbnails.thumbnails(data, data.wells)
    assert found["channels"] == ["DAPI", "FITC"]
    assert [(one["well"], one["site"]) for one in found["fields"]] == [(0, 1), (0, 2), (1, 3)]
    images = [image for one in found["fields"] for image in one["images"]]
    assert len(images) == 6
    assert all(image.startswith("data:image/webp;base64,") for image in images)
    assert [bool(one["outlines"][0]) for one in found["fields"]] == [True, True, False]


@pytest.mark.parametrize(("budget", "channels"), [(30_000, 2), (8_000, 1)])
def test_all_together_stay_within_the_budget(tmp_path, draw_run, monkeypatch, budget, channels):
    monkeypatch.setattr(thumbnails, "BUDGET", budget)
    data = RunData(draw_run(tmp_path, [("B02", 60), ("B03", 60), ("B04", 60)], size_px=400))
    found = thumbnails.thumbnails(data, data.wells)
    assert len(found["channels"]) == channels
    assert len(found["fields"]) == 3
    assert len(json.dumps(found)) < budget + 1_000


def test_an_rgb_image_is_shown_as_its_mean(tmp_path, draw_run):
    rgb = tuple(Channel(name, index) for index, name in enumerate("RGB"))
    data = RunData(draw_run(tmp_path, [("B02", 4)], channels=rgb, channel=""))
    assert thumbnails.thumbnails(data, data.wells)["channels"] == ["mean of all channels"]


def test_without_pixels_or_counted_fields_there_are_none(make_run, tmp_path, draw_run):
    data = RunData(make_run([make_run.field("B02", 1, 3)]))
    assert thumbnails.thumbnails(data, data.wells) is None
    data = RunData(draw_run(tmp_path / "failed", [("B02", None)]))
    assert thumbnails.thumbnails(data, data.wells) is None


def test_nuclei_that_do_not_count_have_outlines_of_their_own(tmp_path, draw_run):
    run = draw_run(tmp_path, [("B02", 8)])
    nuclei = pd.read_parquet(run.nuclei)
    nuclei.assign(Metadata_Counted=nuclei["Metadata_ObjectNumber"] != 2).to_parquet(run.nuclei)
    data = RunData(run)
    (field,) = thumbnails.thumbnails(data, data.wells)["fields"]
    assert len(field["outlines"]) == 2
    assert 0 < len(field["outlines"][1]) < len(field["outlines"][0])
