"""The drawn dose series: a table of wells, and a marker whose level in the nuclei follows the curve."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from nucbatch.readers.find import open_plate
from nucbatch.synthetic import make_dose_plate


def test_every_well_has_two_channels_and_a_row_in_the_table(tmp_path: Path) -> None:
    drawn = make_dose_plate(tmp_path, rows="B", size_px=96, nuclei=2)
    table = pd.read_csv(drawn.table)
    assert list(table["Well"]) == [f"B{column:02d}" for column in range(1, 13)]
    assert list(table["Control"].fillna("")) == ["negative", *[""] * 10, "positive"]
    assert table["Dose_nM"][[0, 10]].tolist() == [0, 3000]
    np.testing.assert_allclose(table["Dose_nM"][2:11].to_numpy() / table["Dose_nM"][1:10], 3, rtol=1e-3)
    plate = open_plate(drawn.folder)
    assert [channel.name for channel in plate.channels] == ["DAPI", "Marker"]
    assert sorted(plate.wells()) == sorted(table["Well"])


def test_the_marker_rises_with_the_dose_and_its_half_is_at_the_ec50(tmp_path: Path) -> None:
    make_dose_plate(tmp_path, rows="A", size_px=96, nuclei=2, ec50_nm=3000 / 3**4)
    brightest = [
        float(np.percentile(tifffile.imread(tmp_path / "plate" / f"A{column:02d}_1_Marker.tif"), 99.5))
        for column in range(1, 13)
    ]
    half = (brightest[0] + brightest[11]) / 2
    assert brightest[6] == pytest.approx(half, rel=0.1)  # the dose of A07
    assert brightest[2] < brightest[5] < brightest[8] < 1.1 * brightest[10]


def test_the_same_seed_gives_the_same_pixels(tmp_path: Path) -> None:
    one, other, third = (
        make_dose_plate(tmp_path / name, rows="A", size_px=96, nuclei=2, seed=seed)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    read = [(drawn.folder / "A05_1_DAPI.tif").read_bytes() for drawn in (one, other, third)]
    assert read[0] == read[1] != read[2]
