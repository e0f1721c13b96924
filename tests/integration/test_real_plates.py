"""Real plates from real microscopes are read whole, every file accounted for."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from nucbatch.core.errors import InputError
from nucbatch.core.plate import FileStatus, Plate
from nucbatch.readers.find import open_plate
from nucbatch.readers.pixels import field_channels, read_field, read_image

pytestmark = pytest.mark.real_data


def counts(plate: Plate) -> tuple[int, int, int]:
    by_status = Counter(record.status for record in plate.files)
    return by_status[FileStatus.USED], by_status[FileStatus.IGNORED], by_status[FileStatus.QUARANTINED]


def by_rule(plate: Plate) -> dict[str, int]:
    return dict(Counter(r.reason.split(":")[0] for r in plate.files if r.status is FileStatus.IGNORED))


def test_sbs96_is_found_unasked(shared_data: Path):
    plate = open_plate(shared_data / "plates/sbs96")
    assert (plate.layout, plate.name) == ("names", "sbs96")
    assert list(plate.wells()) == [f"{row}{column:02d}" for row in "ABCDEFGH" for column in range(1, 13)]
    assert [channel.name for channel in plate.channels] == ["Channel1", "Channel2"]
    assert counts(plate) == (192, 3, 0)
    ignored = [record.path for record in plate.files if record.status is FileStatus.IGNORED]
    assert ignored == ["1049_Metadata.csv", "Channel1ILLUM.mat", "Channel2ILLUM.mat"]
    assert {(f.height_px, f.width_px, f.dtype, f.problem) for f in plate.fields} == {(640, 640, "uint8", "")}
    for field in plate.fields:
        row, column = field.well[0], field.well[1:]
        assert [plane.path.endswith(f"-{row}-{column}.tif") for plane in field.planes] == [True, True]
    array = read_field(plate.root, plate.fields[0], plate.channels)
    np.testing.assert_array_equal(array[1], read_image(shared_data / "plates/sbs96/Channel2-01-A-01.tif"))


@pytest.mark.parametrize(
    ("folder", "channels", "wells", "groups", "expected", "rules"),
    [
        (
            "imagexpress/Projection-Mix",
            ["w1", "w2", "w3", "w4"],
            ["E07", "E08"],
            ["E/7/1", "E/7/2", "E/8/1", "E/8/2"],
            (16, 176, 0),
            {"thumbnail": 96, "z-step": 80},
        ),
        (
            "imagexpress/SingleChannel",
            ["FITC_05"],
            ["E07", "E08"],
            ["E/7/1", "E/7/2", "E/8/1", "E/8/2"],
            (4, 20, 0),
            {"thumbnail": 12, "z-step": 8},
        ),
        (
            "imagexpress/1well-3C-2S-Zmix-T",
            ["FITC", "Cy3", "Texas Red"],
            ["C07"],
            ["C/7/1t0", "C/7/1t1", "C/7/2t0", "C/7/2t1"],
            (12, 0, 0),
            {},
        ),
        (
            "imagexpress_exported/9987_Plate_3420",
            ["DAPI"],
            ["B02"],
            ["B/2/1"],
            (1, 2, 0),
            {"vendor-metadata": 2},
        ),
        (
            "imagexpress_exported/9987_Plate_3434",
            ["DAPI", "FITC", "Texas Red"],
            ["B02", "B03"],
            ["B/2/1", "B/2/2", "B/3/1", "B/3/2"],
            (12, 29, 0),
            {"vendor-metadata": 5, "z-step": 24},
        ),
        (
            "imagexpress_exported/9987_Plate_3435",
            ["DAPI", "FITC"],
            ["B02", "B03"],
            [f"B/{c}/{s}t{t}" for c in (2, 3) for s in (1, 2) for t in (0, 1)],
            (16, 3, 0),
            {"vendor-metadata": 3},
        ),
    ],
)
def test_imagexpress(shared_data: Path, folder, channels, wells, groups, expected, rules):
    plate = open_plate(shared_data / "plates" / folder)
    assert plate.layout == "imagexpress"
    assert [channel.name for channel in plate.channels] == channels
    assert list(plate.wells()) == wells
    assert [field.group for field in plate.fields] == groups
    assert counts(plate) == expected
    assert by_rule(plate) == rules
    assert not any(field.problem for field in plate.fields)
    assert all(field.pixel_size_um and field.pixel_size_um > 1 for field in plate.fields)
    array = read_field(plate.root, plate.fields[-1], plate.channels)
    assert array.dtype == np.uint16
    assert array.max(axis=(1, 2)).min() > 0


def test_exported_projections_are_used_instead_of_their_steps(shared_data: Path):
    plate = open_plate(shared_data / "plates/imagexpress_exported/9987_Plate_3434")
    assert {plane.path.split("/")[1] for field in plate.fields for plane in field.planes} == {"ZStep_0"}


@pytest.mark.parametrize("folder", ["imagexpress", "imagexpress_exported"])
def test_three_plates_at_once_are_refused(shared_data: Path, folder):
    with pytest.raises(InputError, match=r"holds 3 plates\. Run each alone"):
        open_plate(shared_data / "plates" / folder)


def test_dsb2018_mixes_grey_and_rgb(shared_data: Path):
    plate = open_plate(shared_data / "dsb2018/images")
    assert (plate.layout, plate.is_plate, len(plate.fields)) == ("folder", False, 664)
    assert counts(plate) == (664, 0, 0)
    assert [channel.name for channel in plate.channels] == ["Grey", "Red", "Green", "Blue"]
    for field in plate.fields[::60]:
        channels = field_channels(plate, field)
        image = read_image(Path(plate.root, field.planes[0].path))
        array = read_field(plate.root, field, channels)
        np.testing.assert_array_equal(array, image[None] if image.ndim == 2 else np.moveaxis(image, -1, 0))


def test_label_images_keep_their_numbers(shared_data: Path):
    path = min((shared_data / "dsb2018/labels").iterdir())
    labels = read_image(path)
    assert (labels.dtype, labels.ndim) == (np.uint16, 2)
    assert labels.max() == len(np.unique(labels)) - 1


def test_plates_of_several_makes_are_listed_one_by_one(shared_data: Path):
    with pytest.raises(InputError, match="holds plates of several kinds") as caught:
        open_plate(shared_data / "plates")
    suggested = [line.split()[-1] for line in str(caught.value).splitlines() if "nucbatch inspect" in line]
    assert suggested == [
        str(shared_data.resolve() / "plates" / name)
        for name in (
            "cellvoyager",
            "imagexpress",
            "imagexpress_exported",
            "operetta",
            "operetta_index_v1",
            "sbs96",
        )
    ]


@pytest.mark.parametrize(
    ("folder", "used", "rules"),
    [
        ("dsb2018", 664, {"mask": 664, "not-an-image": 2}),
        ("nuclei_more", 125, {"mask": 173, "not-an-image": 2}),
        ("dsb2018_kaggle_layout", 20, {"annotation": 667, "not-an-image": 1}),
        ("dsb2018/labels", 664, {}),
    ],
)
def test_folders_of_pictures_stay_folders(shared_data: Path, folder, used, rules):
    plate = open_plate(shared_data / folder)
    assert (plate.layout, counts(plate)) == ("folder", (used, sum(rules.values()), 0))
    assert by_rule(plate) == rules
