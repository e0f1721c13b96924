"""Scores as CSV and JSON: rows of one kind each, undefined figures empty, groups by their column's name."""

import csv
import io
import json

import numpy as np

from nucbatch.scoring import THRESHOLDS, grouped, score_images
from nucbatch.scoring.score_files import Grouping, as_json, images_csv, totals_csv, totals_path

EMPTY, ONE = np.zeros((4, 4), int), np.ones((4, 4), int)
TABLE = score_images([("a", ONE, ONE), ("b", ONE, EMPTY), ("c", EMPTY, EMPTY)])
BY = Grouping("stain", grouped(TABLE, {"a": "DAPI", "b": "H&E", "c": "DAPI"}))


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_a_row_per_image_with_its_group():
    assert [row["name"] for row in rows_of(images_csv(TABLE))] == ["a", "b", "c"]
    rows = rows_of(images_csv(TABLE, BY))
    assert list(rows[0])[:2] == ["name", "stain"]
    assert [row["stain"] for row in rows] == ["DAPI", "H&E", "DAPI"]
    assert rows[1]["object_precision_50"] == ""
    for threshold in THRESHOLDS:
        assert rows[0][f"ap_{round(threshold * 100)}"] == "1.0"


def test_totals_of_all_and_of_each_group():
    rows = rows_of(totals_csv(TABLE, BY))
    assert [(row["stain"], row["total"], row["images"]) for row in rows] == [
        (group, total, images)
        for group, images in (("(all)", "3"), ("DAPI", "2"), ("H&E", "1"))
        for total in ("pooled", "averaged", "median")
    ]
    assert rows[0]["nuclei_truth"] == "2"
    assert rows[0]["object_recall_50"] == "0.5"
    assert [row["group"] for row in rows_of(totals_csv(TABLE))] == ["(all)"] * 3


def test_names_and_groups_that_a_spreadsheet_would_run_are_neutralised():
    table = score_images([("=1+1", ONE, EMPTY)])
    by = Grouping("@stain", grouped(table, {"=1+1": "-DAPI"}))
    (row,) = rows_of(images_csv(table, by))
    assert (row["name"], row["'@stain"]) == ("'=1+1", "'-DAPI")
    assert float(row["count_error"]) == -1.0
    assert rows_of(totals_csv(table, by))[-1]["'@stain"] == "'-DAPI"


def test_totals_lie_beside_the_images(tmp_path):
    assert totals_path(tmp_path / "x.y.csv") == tmp_path / "x.y_totals.csv"


def test_json_has_all_of_it_and_no_nan():
    content = json.loads(as_json(TABLE, {"pred": "p"}, BY))
    assert content["pred"] == "p"
    assert content["images"] == 3
    assert content["by"]["column"] == "stain"
    assert content["by"]["groups"]["H&E"]["pooled"]["object_precision_50"] is None
    assert content["by"]["groups"]["DAPI"]["images"] == 2
    assert content["median"]["mean_ap"] == 1.0
    assert "by" not in json.loads(as_json(TABLE, {}))
