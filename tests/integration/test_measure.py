"""``nucbatch measure`` on a real local cluster: masks made elsewhere go the way of a run; none is lost."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from click.testing import CliRunner, Result

from nucbatch.cli.main import nucbatch
from nucbatch.features.measure import measure as measured
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.stored_images import read_labels
from nucbatch.synthetic.field import make_field

pytestmark = pytest.mark.slow
SIDE = 96


def measure(images: Path, masks: Path, out: Path, *options: str) -> Result:
    given = ["measure", images, "--labels", masks, "-o", out, "--workers", "1", *options]
    return CliRunner().invoke(nucbatch, list(map(str, given)))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Images a to e. The mask of a has gaps, b's is empty, c's too small, d's binary, and e has none."""
    images, masks = (tmp_path_factory.mktemp(name) for name in ("images", "masks"))
    for seed, name in enumerate("abcde"):
        image, labels = make_field(SIDE, np.random.default_rng(seed), nuclei=5, channels=1)
        tifffile.imwrite(images / f"{name}.tif", image[0])
        given = {"a": labels * 10, "b": labels * 0, "c": labels[1:], "d": (labels > 0) * 255}
        if name in given:
            tifffile.imwrite(masks / f"{name}_masks.tif", given[name].astype(np.uint16))
    tifffile.imwrite(masks / "x_masks.tif", np.zeros((SIDE, SIDE), np.uint16))
    return images, masks


@pytest.fixture(scope="module")
def finished(inputs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, Result]:
    out = tmp_path_factory.mktemp("measured") / "out"
    return RunFolder(out), measure(*inputs, out, "--table", "csv")


def test_every_field_and_every_mask_has_its_outcome(
    inputs: tuple[Path, Path], finished: tuple[RunFolder, Result]
) -> None:
    folder, result = finished
    assert result.exit_code == 3, result.output
    assert "no mask for 1 field: e; masks of no image: x_masks" in result.output
    fields = pd.read_parquet(folder.fields).set_index("Name")
    assert fields["Status"].to_dict() == dict(
        zip("abcde", ["done", "done", *["failed"] * 2, "quarantined"], strict=True)
    )
    assert fields.loc["b", "Count_Nuclei"] == 0
    assert fields.loc[["c", "d", "e"], "Count_Nuclei"].isna().all()
    assert "the mask is 96 × 95 px, and its image 96 × 96" in fields.loc["c", "Reason"]
    assert "--binary" in fields.loc["d", "Reason"]
    assert fields.loc["e", "Reason"] == "there is no mask of its name"
    files = pd.read_csv(folder.files, keep_default_na=False)
    outcome = {Path(path).name: (status, reason) for path, status, reason in files.iloc[:, :3].values}
    kinds = {name: (status, reason.split(":")[0]) for name, (status, reason) in outcome.items()}
    assert len(outcome) == 10
    assert kinds["a_masks.tif"] == kinds["b_masks.tif"] == kinds["a.tif"] == ("used", "")
    assert kinds["c_masks.tif"][0] == kinds["d_masks.tif"][0] == "quarantined"
    assert kinds["c.tif"] == kinds["d.tif"] == ("ignored", "incomplete-field")
    assert kinds["e.tif"] == ("ignored", "no-mask")
    assert kinds["x_masks.tif"] == ("ignored", "unmatched-mask")


def test_objects_keep_the_numbers_of_their_mask(
    inputs: tuple[Path, Path], finished: tuple[RunFolder, Result]
) -> None:
    images, masks = inputs
    folder, _ = finished
    given = tifffile.imread(masks / "a_masks.tif")
    nuclei = pd.read_parquet(folder.nuclei)
    assert nuclei["Metadata_ObjectNumber"].tolist() == np.unique(given[given > 0]).tolist()
    assert np.array_equal(read_labels(folder, "a"), given)
    columns = measured((given // 10).astype(np.uint32), tifffile.imread(images / "a.tif")[None], ["Grey"])
    for name, values in columns.items():
        assert np.array_equal(nuclei[name].to_numpy(), values), name
    run = json.loads(folder.run_json.read_text())
    assert run["model"]["source"] == str(masks)
    assert run["settings"]["masks"] == "given"
    assert folder.report.stat().st_size > 0
    table = pd.read_csv(folder.nuclei_csv).assign(Metadata_Well="")
    pd.testing.assert_frame_equal(table, nuclei, check_dtype=False)


def test_a_repaired_mask_alone_is_measured_again(
    inputs: tuple[Path, Path], finished: tuple[RunFolder, Result]
) -> None:
    images, masks = inputs
    folder, _ = finished
    before, written_ns = pd.read_parquet(folder.nuclei), folder.fragment("a").stat().st_mtime_ns
    binary = tifffile.imread(masks / "d_masks.tif")
    tifffile.imwrite(masks / "d_masks.tif", np.where(binary, 1 + np.arange(SIDE) // 48, 0).astype(np.uint16))
    again = measure(images, masks, folder.path)
    assert again.exit_code == 3, again.output
    nuclei = pd.read_parquet(folder.nuclei)
    assert set(nuclei["Metadata_Image"]) == {"a", "d"}
    assert not folder.nuclei_csv.exists()  # the one there was would be out of date
    assert nuclei[nuclei["Metadata_Image"] == "a"].equals(before)
    assert folder.fragment("a").stat().st_mtime_ns == written_ns
