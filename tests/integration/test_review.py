"""A run is reviewed: fields to label are suggested, corrections are saved, and training takes them."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner, Result

from nucbatch.cli.main import nucbatch
from nucbatch.core.errors import InputError
from nucbatch.core.tiles import Box
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
