"""What commands say and refuse, up to where a cluster or a training would start."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from click.testing import CliRunner, Result

from nucbatch.cli.main import nucbatch
from nucbatch.core.errors import InputError, SettingsConflict, StoreError, WeightsError


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(nucbatch, [str(argument) for argument in arguments])


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures [red]"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", np.eye(40, dtype=np.uint8))
    return folder


@pytest.fixture
def unusable(tmp_path: Path) -> Path:
    folder = tmp_path / "unusable"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"junk")
    return folder


def test_the_plan_is_shown_also_for_a_folder_named_like_markup(pictures: Path, tmp_path: Path) -> None:
    shown = command("run", pictures, "-o", tmp_path / "out", "--dry-run")
    assert shown.exit_code == 0, shown.output
    assert "pictures [red] (folder): 1 field, 1 usable" in shown.output
    assert "channel Grey" in shown.output


@pytest.mark.parametrize("out", ["a file", "a file/inside", "the input", "a foreign folder"])
def test_a_dry_run_refuses_the_outputs_that_the_run_would_refuse(
    pictures: Path, tmp_path: Path, out: str
) -> None:
    (tmp_path / "a file").write_text("x")
    (tmp_path / "a foreign folder").mkdir()
    (tmp_path / "a foreign folder" / "thesis.txt").write_text("x")
    place = pictures if out == "the input" else tmp_path / out
    for more in ([], ["--dry-run"]):
        ended = command("run", pictures, "-o", place, *more)
        assert isinstance(ended.exception, StoreError)
        assert "Choose an empty or a new" in str(ended.exception)


def test_a_projection_is_refused_before_the_run(tmp_path: Path) -> None:
    for name, axes in (("stack.tif", "ZYX"), ("film.tif", "TYX")):
        pixels = np.zeros((5, 40, 40), np.uint8)
        tifffile.imwrite(tmp_path / name, pixels, imagej=True, metadata={"axes": axes})
    shown = command("run", tmp_path, "-o", tmp_path / "out", "--dry-run").output
    assert "5 z-steps, by maximum, in 1 field. If they are time points" in shown


def test_a_run_in_which_nothing_is_usable_ends_with_1_and_has_its_tables(
    unusable: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out [/]"
    ended = command("run", unusable, "-o", out)
    assert ended.exit_code == 1, ended.output
    assert f"Counts per field: {out / 'fields.parquet'}" in ended.output
    fields, files = pd.read_parquet(out / "fields.parquet"), pd.read_csv(out / "files.csv")
    assert list(fields["Status"]) == list(files["status"]) == ["quarantined"]
    assert fields["Count_Nuclei"].isna().all()
    assert (out / "report.html").is_file()
    assert command("run", unusable, "-o", out).exit_code == 1


def test_settings_of_an_earlier_run_are_kept_apart_by_value_not_by_spelling(
    unusable: Path, tmp_path: Path
) -> None:
    from nucbatch.networks.checkpoint import read_card
    from nucbatch.networks.locate import locate

    out, model = tmp_path / "out", locate("default")
    usual = read_card(model).objects.foreground
    assert command("run", unusable, "-o", out).exit_code == 1
    same = command("run", unusable, "-o", out, "--model", model, "--foreground", str(usual))
    assert same.exit_code == 1, same.output
    other = command("run", unusable, "-o", out, "--foreground", "0.123")
    assert isinstance(other.exception, SettingsConflict)
    assert f"objects.foreground: {usual} → 0.123" in str(other.exception)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (["--scheduler", "pbs"], InputError, "unknown scheduler 'pbs'"),
        (["--model", "no-such-model"], WeightsError, "neither a shipped model"),
        (["--channel", "DAPI"], InputError, "'DAPI' is not in"),
        (["--foreground", "2"], InputError, "foreground = 2.0 must be below 1"),
        (["--pixel-size", "-1"], InputError, "pixel_size = -1.0 must be above 0"),
        (["--resolution", "0"], InputError, "a resolution of 0.0 µm is invalid"),
        (["--layout", "tiles"], InputError, "'tiles' is not known"),
    ],
)
def test_invalid_requests_are_refused_before_anything_is_written(
    pictures: Path, tmp_path: Path, options: list[str], error: type[Exception], words: str
) -> None:
    refused = command("run", pictures, "-o", tmp_path / "out", *options)
    assert isinstance(refused.exception, error)
    assert words in str(refused.exception)
    assert not (tmp_path / "out").exists()


def test_an_out_that_is_a_file_or_holds_other_files_is_left_alone(unusable: Path, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("mine")
    for out, words in ((note, "is a file"), (tmp_path, "not empty"), (note / "deeper", "note.txt is a file")):
        refused = command("run", unusable, "-o", out, "--restart")
        assert isinstance(refused.exception, StoreError)
        assert words in str(refused.exception)
    assert note.read_text() == "mine"


@pytest.mark.parametrize("name", ["plate", "truth", "run", "notes"])
def test_a_demo_never_clears_a_folder_that_no_demo_made(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "image.tif").write_text("mine")
    refused = command("demo", "-o", tmp_path)
    assert isinstance(refused.exception, StoreError)
    assert "is not the folder of a demo" in str(refused.exception)
    assert [path.name for path in tmp_path.rglob("*")] == [name, "image.tif"]


def test_training_into_a_file_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("kornia", reason="training needs the extra train")
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "a.tif", np.eye(40, dtype=np.uint8))
    refused = command("train", tmp_path, "-o", tmp_path / "images" / "a.tif")
    assert isinstance(refused.exception, InputError)
    assert "a.tif can't hold weights (File exists)" in str(refused.exception)
