"""The plate on disk: ImageXpress names, truth outside it, one empty well, one file really cut short."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile

from nucbatch.core.errors import InputError
from nucbatch.synthetic import make_plate

NAME = re.compile(
    r"^Synthetic_(?P<well>[A-P]\d\d)_s(?P<site>\d+)_w(?P<wave>\d)(?P<thumb>_thumb)?"
    r"(?P<guid>[0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12})\.tif$"
)
SMALL = {"wells": ("B02", "B03", "C02", "C03"), "sites": 2, "size_px": 128, "empty_well": "C03"}


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return make_plate(tmp_path_factory.mktemp("plates") / "plate", **SMALL)


def images_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix == ".tif")


def test_every_image_has_an_imagexpress_name(truth):
    matches = [NAME.match(path.name) for path in images_of(truth.plate_folder)]
    assert all(matches)
    places = {(match["well"], match["site"], match["wave"], bool(match["thumb"])) for match in matches}
    assert len(places) == len(matches) == 4 * 2 * 2 * 2


def test_names_and_bytes_follow_from_the_seed(truth, tmp_path):
    again = make_plate(tmp_path / "plate", **SMALL)
    first = {path.name: path.read_bytes() for path in truth.plate_folder.iterdir()}
    second = {path.name: path.read_bytes() for path in again.plate_folder.iterdir()}
    assert first == second
    assert again.rows == truth.rows


def test_a_field_does_not_depend_on_which_others_are_made(truth, tmp_path):
    alone = make_plate(
        tmp_path / "plate", wells=("B02",), sites=1, size_px=128, truncated=False, thumbnails=False
    )
    assert len(images_of(alone.plate_folder)) == 2
    for path in images_of(alone.plate_folder):
        assert path.read_bytes() == (truth.plate_folder / path.name).read_bytes()


def test_the_truncated_file_can_not_be_read_and_has_no_truth_to_score(truth):
    (cut,) = truth.truncated
    path = next(path for path in truth.plate_folder.glob(f"{cut}_w1*.tif") if "_thumb" not in path.name)
    with pytest.raises(ValueError, match="failed to read"):
        tifffile.imread(path)
    assert not (truth.folder / f"{cut}.tif").exists()
    assert next(row for row in truth.rows if row.name == cut).well != "C03"


def test_all_other_files_can_be_read(truth):
    for path in images_of(truth.plate_folder):
        if not path.name.startswith(truth.truncated[0]):
            assert tifffile.imread(path).dtype == np.uint16


def test_the_empty_well_has_zero_nuclei_and_is_listed(truth):
    assert truth.counts()["C03"] == 0
    assert tifffile.imread(truth.folder / "Synthetic_C03_s1.tif").max() == 0
    assert truth.counts()["B02"] > 0


def test_truth_csv_and_label_images_say_the_same(truth):
    with (truth.folder / "truth.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["well"], int(row["site"])) for row in rows] == [
        (well, site) for well in SMALL["wells"] for site in (1, 2)
    ]
    for row in rows:
        if row["readable"] == "True":
            labels = tifffile.imread(truth.folder / f"{row['name']}.tif")
            assert int(labels.max()) == int(row["count"])
            assert labels.dtype == np.uint16


def test_counts_fall_with_the_dose(tmp_path):
    truth = make_plate(
        tmp_path / "plate",
        wells=tuple(f"{row}{column:02d}" for row in "BC" for column in range(1, 5)),
        sites=1,
        size_px=256,
        empty_well=None,
        truncated=False,
        thumbnails=False,
    )
    counts = truth.counts()
    assert counts["B01"] + counts["C01"] > 2 * (counts["B04"] + counts["C04"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"wells": ()},
        {"wells": ("B02", "b2")},
        {"wells": ("nowhere",)},
        {"sites": 0},
        {"seed": -1},
        {"channels": ()},
        {"name": "../away"},
    ],
)
def test_an_impossible_plate_is_refused_before_a_file_is_written(tmp_path, wrong):
    with pytest.raises(InputError):
        make_plate(tmp_path / "plate", **(SMALL | wrong))
    assert not (tmp_path / "plate").exists()


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "plate").mkdir()
    (tmp_path / "plate" / "precious.tif").write_bytes(b"")
    with pytest.raises(InputError, match="not an empty folder"):
        make_plate(tmp_path / "plate", **SMALL)


def test_truth_inside_the_plate_is_refused(tmp_path):
    with pytest.raises(InputError, match="inside the plate"):
        make_plate(tmp_path / "plate", truth_folder=tmp_path / "plate" / "truth", **SMALL)
