"""``run --images none``: the OME-Zarr holds labels alone, and pictures are read where they are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from click.testing import CliRunner, Result

import nucbatch as nb
from nucbatch.cli.main import nucbatch
from nucbatch.core.errors import StoreError
from nucbatch.labels.run_images import RunImages, SourceGone
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.stored_images import read_image
from nucbatch.synthetic import make_plate
from nucbatch.synthetic.field import make_field

pytestmark = pytest.mark.slow

TABLES = ("nuclei.parquet", "fields.parquet", "wells.csv", "files.csv")


def run(source: Path, out: Path, *options: str) -> Result:
    done = CliRunner().invoke(nucbatch, ["run", str(source), "-o", str(out), "--workers", "1", *options])
    assert done.exit_code == 0, done.output
    return done


def masks(out: Path) -> dict[str, bytes]:
    """The files of the labels' arrays."""
    folder = RunFolder(out)
    stores = [store for store in (folder.plate_zarr, folder.images_zarr) if store.exists()]
    return {
        path.relative_to(store).as_posix(): path.read_bytes()
        for store in stores
        for path in store.rglob("c.*")
        if "labels" in path.parts
    }


def pictures(report: Path) -> list[str]:
    return [part for part in report.read_text().split('"') if part.startswith("data:image/webp")]


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic")
    wells = ("B02", "C03")
    truth = make_plate(folder, wells=wells, sites=1, size_px=331, empty_well=None, truncated=False)
    return truth.plate_folder


@pytest.fixture(scope="module")
def copied(plate: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("copied") / "out"
    run(plate, out, "--channel", "DAPI")
    return out


@pytest.fixture(scope="module")
def alone(plate: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("alone") / "out"
    run(plate, out, "--channel", "DAPI", "--images", "none", "--keep-probabilities")
    return out


def test_everything_but_the_copy_is_that_of_a_usual_run(plate: Path, copied: Path, alone: Path) -> None:
    for table in TABLES:
        assert (alone / table).read_bytes() == (copied / table).read_bytes()
    assert masks(alone)
    assert masks(alone) == masks(copied)
    assert pictures(alone / "report.html")
    assert pictures(alone / "report.html") == pictures(copied / "report.html")
    assert not [path for path in (alone / "plate.zarr").rglob("c.*") if "labels" not in path.parts]
    kept = json.loads((alone / "run.json").read_text())["images"]
    assert kept == {"copied": False, "source": str(plate)}
    with_copy, without = nb.open_run(copied), nb.open_run(alone)
    assert without.channels == with_copy.channels
    for level in (0, 1):
        here, there = (np.asarray(one.image("C03", level=level)) for one in (with_copy, without))
        assert here.shape == there.shape
        assert (here == there).all()
    assert (np.asarray(without.labels("C03")) == np.asarray(with_copy.labels("C03"))).all()
    folder = RunFolder(copied)
    assert (RunImages(RunFolder(alone)).read("C/3/1", 1) == read_image(folder, "C/3/1", 1)).all()
    scored = CliRunner().invoke(nucbatch, ["score", str(alone), "--gt", str(copied)])
    assert scored.exit_code == 0, scored.output


def test_it_is_resumed_and_objects_are_redone_from_kept_probabilities(
    plate: Path, alone: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(alone, out)
    before = masks(out)
    (out / "plate.zarr/B/2/1/labels/nuclei/0/c.0.0").unlink()
    options = ["--channel", "DAPI", "--images", "none"]
    run(plate, out, *options)
    assert masks(out) == before
    redone = run(plate, out, *options, "--foreground", "0.8", "--reuse-probabilities")
    assert "went through the network" not in redone.output
    assert masks(out) != before
    assert pictures(out / "report.html")


def test_a_source_that_has_gone_is_named_and_the_report_goes_on(
    plate: Path, alone: Path, tmp_path: Path
) -> None:
    out, hidden = tmp_path / "out", plate.with_name("elsewhere")
    shutil.copytree(alone, out)
    plate.rename(hidden)
    try:
        report = CliRunner().invoke(nucbatch, ["report", str(out)])
        assert report.exit_code == 0, report.output
        with pytest.raises(SourceGone, match=r"\.tif: has vanished") as gone:
            nb.open_run(out).image("B02").compute()
        assert f"The files were in {plate}" in str(gone.value)
    finally:
        hidden.rename(plate)
    page = (out / "report.html").read_text()
    assert not pictures(out / "report.html")
    assert "The images can't be shown: the image of" in page
    assert "has vanished since the run was planned" in page
    assert isinstance(gone.value, StoreError)


def test_a_large_image_in_blocks_leaves_no_copy(tmp_path: Path) -> None:
    pixels, _ = make_field(600, np.random.default_rng(0), nuclei=60, channels=1)
    tifffile.imwrite(tmp_path / "slide.tif", pixels[0])
    out = tmp_path / "out"
    run(tmp_path / "slide.tif", out, "--images", "none", "--block-size", "256")
    assert not list(out.rglob("image.zarr"))
    (group,) = (path.parent for path in out.glob("images.zarr/*/labels"))
    labels = zarr.open_array(group / "labels/nuclei/0", mode="r")
    assert np.asarray(labels).any()
    opened = nb.open_run(out)
    assert (np.asarray(opened.image()) == pixels[0]).all()
    assert (np.asarray(opened.labels()) == np.asarray(labels)).all()
    assert pictures(out / "report.html")
    again = run(tmp_path / "slide.tif", out, "--images", "none", "--block-size", "256", "--verify")
    assert "all are unchanged" in again.output
