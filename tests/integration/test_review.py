"""A run is reviewed: fields to label are suggested, corrections are saved, and training takes them."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner, Result

from nucbatch.cli.main import nucbatch
from nucbatch.core.errors import InputError
from nucbatch.core.tiles import Box
from nucbatch.review.field_review import NUMBER, FieldReview
from nucbatch.review.label_folder import LabelFolder
from nucbatch.review.reviewed_run import ReviewedRun
from nucbatch.store.run_folder import RunFolder
from nucbatch.synthetic import make_plate
from nucbatch.training.data import find_data

pytestmark = pytest.mark.slow


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(nucbatch, [str(word) for word in words])


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three fields, one of them empty, that kept its probabilities; seen at half the scale."""
    folder = tmp_path_factory.mktemp("review")
    make_plate(folder / "P1", wells=("B02", "B03", "C02", "C03"), sites=1, size_px=160, empty_well="C03")
    ran = call(
        *("run", folder / "P1", "-o", folder / "out", "--channel", "DAPI", "--diameter", "40"),
        *("--workers", "1", "--keep-probabilities"),
    )
    assert ran.exit_code == 3, ran.output
    return folder / "out"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_suggestions_are_the_same_every_time_and_with_or_without_kept_probabilities(
    out: Path, tmp_path: Path
) -> None:
    shown = call("suggest", out, "-n", "2", "--csv", tmp_path / "a.csv")
    assert shown.exit_code == 0, shown.output
    assert "2 fields of 3 looked at\n" in shown.output
    bare = tmp_path / "bare"
    shutil.copytree(out, bare)
    shutil.rmtree(RunFolder(bare).probabilities)
    again = call("suggest", bare, "-n", "2", "--csv", tmp_path / "b.csv")
    assert "3 went through the network again" in again.output
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    listed = rows(tmp_path / "a.csv")
    assert [row["Rank"] for row in listed] == ["1", "2"]
    assert sum(int(row["Fields_StoodFor"]) for row in listed) == 3


def test_a_part_of_the_run_is_suggested_from_and_what_has_no_doubt_is_refused(
    out: Path, tmp_path: Path
) -> None:
    assert call("suggest", out, "--wells", "C2", "--csv", tmp_path / "a.csv").exit_code == 0
    assert [row["Metadata_Well"] for row in rows(tmp_path / "a.csv")] == ["C02"]
    assert "is no run of nucbatch" in str(call("suggest", tmp_path).exception)
    assert "is the output of a run" in str(call("suggest", out, "--export", out).exception)


def test_the_maps_of_a_field_give_the_labels_of_the_run(out: Path) -> None:
    run = ReviewedRun(out)
    objects = run.settings.objects
    for group in run.fields["Metadata_Image"]:
        found = run.maps(group).labels(run.settings, objects.foreground, objects.peak)
        np.testing.assert_array_equal(found, run.labels(group))
    stricter = run.maps("B/2/1").labels(run.settings, 0.9, objects.peak)
    assert 0 < np.count_nonzero(stricter) < np.count_nonzero(run.labels("B/2/1"))


def test_exported_images_are_taken_by_training_with_a_warning_until_they_are_corrected(
    out: Path, tmp_path: Path
) -> None:
    lab = tmp_path / "lab"
    shown = call("suggest", out, "--csv", tmp_path / "a.csv", "--export", lab)
    assert shown.exit_code == 0, shown.output
    assert find_data(lab).predicted == 3
    run, folder = ReviewedRun(out), LabelFolder(lab)
    labels = run.labels("B/2/1")
    labels[labels == 1] = 0
    origin = folder.add(run, "B/2/1", Box(0, 0, 160, 160), labels, corrected=True, foreground=0.4)
    assert (origin.nuclei_saved, origin.corrected, origin.foreground) == (origin.nuclei_found - 1, "yes", 0.4)
    found = find_data(lab)
    assert found.predicted == 2
    assert {entry.group for entry in found.entries} == {"Synthetic/B02", "Synthetic/C02", "Synthetic/C03"}
    image = tifffile.imread(lab / "images" / f"{origin.id}.tif")
    assert image.shape == tifffile.imread(lab / "labels" / f"{origin.id}.tif").shape == (80, 80)
    call("suggest", out, "--csv", tmp_path / "a.csv", "--export", lab)  # keeps what a person has saved
    assert find_data(lab).predicted == 2
    assert [row["corrected"] for row in rows(lab / "provenance.csv")].count("yes") == 1


def test_a_folder_from_elsewhere_or_of_another_run_is_not_written_to(out: Path, tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"not empty and has no provenance\.csv"):
        LabelFolder(tmp_path / "foreign")
    shutil.copytree(out, tmp_path / "copy")
    folder, box = LabelFolder(tmp_path / "lab"), Box(0, 0, 160, 160)
    one, other = ReviewedRun(out), ReviewedRun(tmp_path / "copy")
    folder.add(one, "B/2/1", box, one.labels("B/2/1"), corrected=False)
    with pytest.raises(InputError, match="of another run"):
        folder.add(other, "B/2/1", box, other.labels("B/2/1"), corrected=True)


def test_a_field_is_found_again_corrected_and_measured_without_a_window(out: Path, tmp_path: Path) -> None:
    run = ReviewedRun(out)
    review = FieldReview(run, "B/2/1", Box(0, 0, 160, 160))
    table = review.table()
    objects = run.settings.objects
    review.find(0.9, objects.peak)
    assert not review.is_changed
    fewer = review.table()
    assert fewer["Nuclei_AreaShape_Area"].sum() < table["Nuclei_AreaShape_Area"].sum()
    review.find(objects.foreground, objects.peak)
    assert review.table().equals(table)
    review.labels[review.labels == 2] = 0
    assert review.is_changed
    rest = review.table()
    assert rest[NUMBER].tolist() == [number for number in table[NUMBER] if number != 2]
    shape = [name for name in rest if name.startswith("Nuclei_AreaShape")]
    assert rest[shape].equals(table.loc[table[NUMBER] != 2, shape].reset_index(drop=True))
    origin = review.save(LabelFolder(tmp_path / "lab"))
    assert not review.is_changed
    assert origin.nuclei_saved == len(rest)
    assert find_data(tmp_path / "lab").predicted == 0


def test_without_a_display_or_a_field_the_viewer_says_so(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    assert "there is no display" in str(
        call("view", out, "--well", "B02", "--save", tmp_path / "l").exception
    )
    assert "no counted field" in str(call("view", out, "--well", "B03", "--save", tmp_path / "l").exception)
    table = tmp_path / "other.csv"
    table.write_text("Metadata_Image,Name\nB/2/1,x\n")
    refused = call("view", out, "--suggested", table, "--save", tmp_path / "l")
    assert "is no table of nucbatch suggest" in str(refused.exception)


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """A display of Xvfb's on which Qt can draw with OpenGL."""
    if shutil.which("Xvfb") is None:
        pytest.skip("there is no Xvfb here: apt-get install xvfb")
    read, write = os.pipe()
    words = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1400x900x24", "-nolisten", "tcp"]
    server = subprocess.Popen(words, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as told:
            number = told.readline().strip()
        if not number:
            pytest.skip("Xvfb does not start here")
        tried = subprocess.run(
            [sys.executable, "-c", CAN_DRAW],
            env={**os.environ, "DISPLAY": f":{number}"},
            capture_output=True,
            text=True,
            check=False,
        )
        if tried.returncode:
            pytest.skip(f"Qt can't draw under Xvfb here: {tried.stderr.strip()[-300:]}")
        yield f":{number}"
    finally:
        server.terminate()
        server.wait()


CAN_DRAW = """
from PyQt6.QtGui import QOpenGLContext
from PyQt6.QtWidgets import QApplication
application = QApplication([])
raise SystemExit(0 if QOpenGLContext().create() else "no OpenGL context can be made")
"""


def test_a_session_in_napari(out: Path, display: str, tmp_path: Path) -> None:
    lab, picture = tmp_path / "lab", tmp_path / "viewer.png"
    session = Path(__file__).with_name("viewer_session.py")
    done = subprocess.run(
        [sys.executable, session, out, lab, picture],
        env={**os.environ, "DISPLAY": display, "NAPARI_CONFIG": str(tmp_path / "napari.yaml")},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    count = seen["rows"]
    assert seen == {
        "layers": ["DAPI", "FITC", "nuclei", "selected"],
        "rows": count,
        "row of a click": [1],
        "outlined": [2],
        "nucleus of a row": [4],
        "sorted by area": True,
        "fewer pixels at 0.9": True,
        "as before": True,
        "merged": count - 1,
        "undone": count,
        "stayed": 0,
        "saved": seen["saved"],
        "went on": 1,
        "painted": True,
    }
    assert f"with {count - 1} nuclei" in seen["saved"]
    assert find_data(lab).predicted == 0
    pixels = np.asarray(tifffile.imread(lab / "labels" / "Synthetic_B02_s1.tif"))
    assert len(np.unique(pixels)) == count  # background and one nucleus less
    assert picture.stat().st_size > 20_000
