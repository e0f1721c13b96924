"""A plate from Python: ``nb.run`` and ``nb.open_run``, with tables, lazy pixels, clear errors."""

from __future__ import annotations

import doctest
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr

import nucbatch as nb
from nucbatch.api import opened_run, running
from nucbatch.core.errors import InputError, InputNotFound, StoreError
from nucbatch.synthetic import make_plate

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The current folder: a plate of two wells, and its run, made by the examples of ``nb.run``."""
    folder = tmp_path_factory.mktemp("python")
    options = {"sites": 1, "size_px": 160, "empty_well": None, "truncated": False, "thumbnails": False}
    make_plate(folder / "plate", wells=("B02", "B03"), **options)
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


@pytest.fixture(scope="module")
def run(here: Path) -> opened_run.Run:
    result = doctest.testmod(running)
    assert (result.failed, result.attempted) == (0, 3)
    return nb.open_run("out")


def test_the_examples_of_open_run(run: opened_run.Run) -> None:
    result = doctest.testmod(opened_run)
    assert (result.failed, result.attempted) == (0, 4)


def test_tables_are_the_files(run: opened_run.Run) -> None:
    pd.testing.assert_frame_equal(run.nuclei, pd.read_parquet("out/nuclei.parquet"))
    pd.testing.assert_frame_equal(run.fields, pd.read_parquet("out/fields.parquet"))
    assert list(run.wells["Metadata_Well"]) == ["B02", "B03"]
    assert (run.files["status"] == "used").sum() == 4
    assert run.settings["settings"]["channel"] == "DAPI"
    assert run.report.is_file()
    assert repr(run) == f"<run in out: {len(run.nuclei)} nuclei; fields: 2 done>"


def test_pixels_are_lazy_and_exact(run: opened_run.Run) -> None:
    store = zarr.open_group("out/plate.zarr", mode="r")
    labels, image = run.labels("B03"), run.image("b3")
    assert run.channels == ["DAPI", "FITC"]
    np.testing.assert_array_equal(labels.compute(), store["B/3/1/labels/nuclei/0"][:])
    np.testing.assert_array_equal(image.compute(), store["B/3/1/0"][:])
    np.testing.assert_array_equal(
        run.image("B03", channel=["FITC", "DAPI"]).compute(), store["B/3/1/0"][:][::-1]
    )
    np.testing.assert_array_equal(run.image("B03", channel="FITC").compute(), store["B/3/1/0"][1])
    np.testing.assert_array_equal(
        run.image("B03", channel="DAPI", site=1, time=0, level=1), store["B/3/1/1"][0]
    )
    np.testing.assert_array_equal(nb.segment(run.image("B03", channel="DAPI").compute()), labels)


def test_a_field_or_channel_that_is_not_clear_is_refused(run: opened_run.Run) -> None:
    for ask, words in (
        (lambda: run.labels(), "out has 2 fields: choose one with the first argument: B02, B03"),
        (lambda: run.labels("Z09"), "no well or image 'Z09': it has B02, B03"),
        (lambda: run.labels("B02", site=2), "B02 has no site 2: it has 1"),
        (lambda: run.labels("B02", time=1), "B02 has no time 1: it has 0"),
        (lambda: run.image("B02", channel="GFP"), "no channel GFP: it has DAPI, FITC"),
        (lambda: run.labels("B02", level=9), "no level 9: it has 2"),
        (lambda: run.doses, "has no doses.csv"),
    ):
        with pytest.raises((InputError, StoreError), match=words):
            ask()


def test_only_a_runs_folder_is_opened(here: Path) -> None:
    with pytest.raises(InputNotFound, match="does not exist"):
        nb.open_run("nowhere")
    with pytest.raises(StoreError, match="is no run of nucbatch"):
        nb.open_run(here / "plate")


def test_other_settings_are_refused_and_a_wrong_keyword_too(run: opened_run.Run) -> None:
    with pytest.raises(ValueError, match=r"objects\.foreground"):
        nb.run("plate", "out", channel="DAPI", foreground=0.9, progress=False)
    with pytest.raises(TypeError, match="no option 'diamter'"):
        nb.run("plate", "elsewhere", diamter=20)
    with pytest.raises(InputError, match="is no diameter"):
        nb.run("plate", "elsewhere", diameter="wide")
    with pytest.raises(InputError, match="give divide or subtract"):
        nb.run("plate", "elsewhere", illumination="plate", illumination_method="multiply")
    with pytest.raises(InputError, match="give zarr or tiff or both"):
        nb.run("plate", "elsewhere", labels="in-place")
    with pytest.raises(InputError, match="workers is 0"):
        nb.run("plate", "elsewhere", workers=0)
    assert not Path("elsewhere").exists()


def test_masks_alone_failures_and_images_without_a_plate(here: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    pixels = tifffile.imread(next((here / "plate").glob("*B02*w1*.tif")))
    tifffile.imwrite(folder / "whole.tif", pixels)
    tifffile.imwrite(folder / "short.tif", pixels)
    os.truncate(folder / "short.tif", 20_000)
    with pytest.warns(
        UserWarning, match=r"fields of .* failed, and 1 files can't be used: \.fields and \.files"
    ):
        found = nb.run(folder, tmp_path / "out", labels="tiff", progress=False)
    np.testing.assert_array_equal(found.labels("whole").compute(), nb.segment(pixels))
    with pytest.raises(InputError, match="short was not counted"):
        found.labels("short")
    with pytest.raises(StoreError, match="label TIFFs alone, and no copy of the images"):
        found.image("whole")
