"""The experiment of a plate: drawn curves come out of a run, and finished runs are described."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from click.testing import CliRunner, Result

from nucbatch.cli.main import nucbatch
from nucbatch.experiment.dose_response import curve
from nucbatch.store.run_folder import RunFolder
from nucbatch.synthetic.field import make_field

pytestmark = pytest.mark.slow

EC50_NM, DOSES_NM = 30.0, [0.0, *(1000 / 3.0 ** np.arange(8)).round(3).tolist()]
OPTIONS = (
    *("--positive", "Kind=pos", "--negative", "Kind=neg", "--dose", "Dose_nM"),
    *("--measure", "Intensity_MeanIntensity_Marker"),
)


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(nucbatch, list(map(str, arguments)))


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three rows of a dose series along columns 1 to 9, and positive controls in column 10.

    The nuclei's grey level in the second channel follows a curve of known EC50.
    """
    folder = tmp_path_factory.mktemp("experiment") / "plate"
    folder.mkdir()
    lines = ["Well;Dose_nM;Kind;Note"]
    for row in "ABC":
        for column in range(1, 11):
            dose = DOSES_NM[column - 1] if column < 10 else None
            kind = "pos" if dose is None else "neg" if dose == 0 else ""
            level = 5.0 if dose is None else float(curve([dose], 1, 5, 1.2, EC50_NM, "concentration")[0])
            rng = np.random.default_rng([ord(row), column])
            images, labels = make_field(160, rng, nuclei=6, channels=1)
            marker = 200 + 1000 * level * rng.normal(1, 0.02) * (labels > 0) + rng.normal(0, 5, labels.shape)
            for name, pixels in (("DAPI", images[0]), ("Marker", marker)):
                tifffile.imwrite(folder / f"{row}{column:02d}_s1_{name}.tif", pixels.astype(np.uint16))
            shown = "" if dose is None else f"{dose:g}".replace(".", ",")
            lines.append(f"{row}{column};{shown};{kind};=1+1")
    (folder.parent / "wells.csv").write_text("\n".join([*lines, "H12;1;;"]), encoding="utf-8-sig")
    return folder


@pytest.fixture(scope="module")
def finished(plate: Path) -> Path:
    """A run without an experiment."""
    out = plate.parent / "out"
    done = call("run", plate, "-o", out, "--channel", "DAPI", "--workers", "1", *PATTERN)
    assert done.exit_code == 0, done.output
    return out


PATTERN = ("--pattern", r"(?P<well>[A-C]\d\d)_s(?P<site>\d)_(?P<channel>\w+)\.tif")


@pytest.fixture(scope="module")
def described(plate: Path, finished: Path) -> tuple[Path, Result]:
    out = finished.with_name("described")
    shutil.copytree(finished, out)
    return out, call("report", out, "--metadata", plate.parent / "wells.csv", *OPTIONS)


def test_a_drawn_curve_comes_out_of_a_run_within_five_percent(described: tuple[Path, Result]) -> None:
    out, result = described
    assert result.exit_code == 0, result.output
    (row,) = pd.read_csv(out / "doses.csv").to_dict("records")
    assert row["EC50"] == pytest.approx(EC50_NM, rel=0.05)
    assert row["EC50_Low"] < EC50_NM < row["EC50_High"]
    assert (row["Axis"], row["Unit"], row["Wells"] + row["Outliers"]) == ("concentration", "nM", 27)
    assay = pd.read_csv(out / "assay.csv").set_index("Measure")
    assert assay.loc["Mean_Nuclei_Intensity_MeanIntensity_Marker", "ZPrime"] > 0.8
    assert f"EC50 {row['EC50']:.3g} nM" in result.output
    assert "Z' 0." in result.output
    assert "1 of 31 rows are about places that have no images: H12" in result.output


def test_the_tables_are_those_of_a_run_begun_with_the_experiment(
    plate: Path, finished: Path, described: tuple[Path, Result], tmp_path: Path
) -> None:
    begun = tmp_path / "out"
    shutil.copytree(finished, begun)
    shutil.rmtree(begun / ".nucbatch" / "logs")
    again = ("run", plate, "-o", begun, "--channel", "DAPI", "--workers", "1", *PATTERN)
    done = call(*again, "--metadata", plate.parent / "wells.csv", *OPTIONS)
    assert done.exit_code == 0, done.output
    assert "1 of 31 rows are about places that have no images: H12" in done.output
    one, other = RunFolder(begun), RunFolder(described[0])
    for name in ("wells", "assay", "doses", "normalised", "metadata"):
        assert getattr(one, name).read_bytes() == getattr(other, name).read_bytes(), name
    for name in ("nuclei", "fields"):
        pd.testing.assert_frame_equal(*(pd.read_parquet(getattr(run, name)) for run in (one, other)))
    cards = [json.loads(run.run_json.read_text()) for run in (one, other)]
    assert cards[0]["experiment"] == cards[1]["experiment"]
    assert cards[0]["settings_sha256"] == json.loads((finished / "run.json").read_text())["settings_sha256"]
    kept = one.assay.read_bytes()
    assert call(*again).exit_code == 0  # without options the description stays
    assert one.assay.read_bytes() == kept


def test_one_option_changes_nothing_else(described: tuple[Path, Result], tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(described[0], out)
    call("report", out, "--measure", "Count_Nuclei_PerField_Mean", "--series", "rows")
    doses = pd.read_csv(out / "doses.csv", keep_default_na=False)
    assert doses["Series"].tolist() == ["A", "B", "C"]
    assert set(doses["Measure"]) == {"Count_Nuclei_PerField_Mean"}
    assert doses["Status"].str.startswith("flat").all()
    assert set(pd.read_csv(out / "wells.csv")["Metadata_Dose_nM"].dropna()) == set(DOSES_NM)
    assert "no such measure" in str(call("report", out, "--measure", "Brightness").exception)


def test_another_description_replaces_the_columns_of_the_first(
    described: tuple[Path, Result], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(described[0], out)
    table = tmp_path / "other.csv"
    table.write_text(
        "Row,Column,Batch\n" + "".join(f"{row},{n},b{row}\n" for row in "ABC" for n in range(1, 11))
    )
    assert call("report", out, "--metadata", table, "--series", "Batch").exit_code == 0
    for table in (pd.read_csv(out / "wells.csv"), pd.read_parquet(out / "nuclei.parquet")):
        assert "Metadata_Dose_nM" not in table
        assert set(table["Metadata_Batch"]) == {"bA", "bB", "bC"}
    assert not (out / "assay.csv").exists()
    assert not (out / "doses.csv").exists()


def test_a_description_that_breaks_off_is_made_whole_by_the_next(
    plate: Path, finished: Path, described: tuple[Path, Result], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    (out / "assay.csv").mkdir()  # stops it after the tables have the new columns
    wells = plate.parent / "wells.csv"
    assert call("report", out, "--metadata", wells, *OPTIONS).exit_code == 1
    assert "Metadata_Dose_nM" in pd.read_parquet(out / "nuclei.parquet")
    (out / "assay.csv").rmdir()
    assert call("report", out, "--metadata", wells, *OPTIONS).exit_code == 0
    for name in ("wells", "assay", "doses", "normalised"):
        assert (out / f"{name}.csv").read_bytes() == (described[0] / f"{name}.csv").read_bytes()


def test_cells_that_a_spreadsheet_would_run_are_neutral(described: tuple[Path, Result]) -> None:
    cells = pd.read_csv(described[0] / "wells.csv")["Metadata_Note"]
    assert set(cells) == {"'=1+1"}
    assert set(pd.read_parquet(described[0] / "nuclei.parquet")["Metadata_Note"]) == {"=1+1"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--metadata", "nowhere.csv"), "nowhere.csv does not exist"),
        (("--positive", "Dose=1"), "there is no such column"),
        (("--series", "X-Z"), "no wells in these rows"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    plate: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    done = call("run", plate, "-o", tmp_path / "out", "--channel", "DAPI", *PATTERN, *options)
    assert message in str(done.exception)
    assert not (tmp_path / "out").exists()
