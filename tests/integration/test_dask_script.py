"""The script in workflows/dask, as a lab runs it: nucbatch inside its own graph, on its own cluster."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from distributed import Client, LocalCluster
from scipy import ndimage

import nucbatch
from nucbatch.synthetic import make_plate

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "workflows" / "dask" / "marker_positive.py"


def expected(plate: Path, above: float) -> pd.DataFrame:
    """The script's table, made image by image without Dask."""
    rows = []
    for path in sorted(plate.glob("*_w1*.tif")):
        if "thumb" in path.name:
            continue
        stem = path.name.split("_w1")[0]
        (other,) = (one for one in plate.glob(f"{stem}_w2*.tif") if "thumb" not in one.name)
        labels, marker = nucbatch.segment(tifffile.imread(path)), tifffile.imread(other)
        means = ndimage.mean(marker, labels, range(1, labels.max() + 1)) / np.median(marker[labels == 0])
        rows += [{"well": stem.split("_")[1], "marker": float(mean)} for mean in np.atleast_1d(means)]
    nuclei = pd.DataFrame(rows)
    nuclei["positive"] = nuclei["marker"] > above
    return nuclei.groupby("well").agg(
        nuclei=("marker", "size"), marker_mean=("marker", "mean"), positive=("positive", "mean")
    )


def test_the_script_runs_on_a_cluster_that_is_there_already(tmp_path: Path) -> None:
    plate, out = tmp_path / "plate", tmp_path / "wells.csv"
    make_plate(plate, wells=("B02", "B03", "C03"), sites=2, size_px=192, empty_well="C03", truncated=False)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        client.write_scheduler_file(str(tmp_path / "scheduler.json"))
        where = ["--client", str(tmp_path / "scheduler.json")]
        asked = [sys.executable, str(SCRIPT), str(plate), "-o", str(out), "--above", "1.5", *where]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert client.ncores()  # the lab's cluster is the lab's: it goes on
    wells = pd.read_csv(out, index_col="well")
    assert list(wells.index) == ["B02", "B03", "C03"]
    assert wells.loc["C03", "nuclei"] == 0
    reference = expected(plate, above=1.5)
    assert reference["nuclei"].gt(0).all()
    assert 0 < reference["positive"].mean() < 1
    pd.testing.assert_frame_equal(wells.loc[["B02", "B03"]], reference, check_names=False)
    assert f"{wells['nuclei'].sum()} nuclei in 3 wells" in done.stdout


def test_a_folder_without_such_files_is_reported(tmp_path: Path) -> None:
    asked = [sys.executable, str(SCRIPT), str(tmp_path), "-o", str(tmp_path / "wells.csv")]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("no file in ")
