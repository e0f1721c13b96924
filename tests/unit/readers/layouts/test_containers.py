"""Containers become plates or collections, by the wells, channels, z-steps and times of their metadata."""

import os
import sys
import tracemalloc

import numpy as np
import pytest
import tifffile
from container_pixels import CHANNELS, colours, field, plane
from golden import quarantined
from write_czi import write_czi
from write_lif import write_lif
from write_nd2 import write_nd2

from nucbatch.core.errors import InputError
from nucbatch.core.plate import FileStatus
from nucbatch.core.tiles import Box
from nucbatch.readers.find import open_plate
from nucbatch.readers.formats import open_source
from nucbatch.readers.formats.container import _listed
from nucbatch.readers.pixels import FieldReader, read_field


def places(plate):
    return [(one.well, one.site, one.t) for one in plate.fields if not one.problem]


def assert_pixels(plate, depth, channels=2):
    """Each field has the planes of its series and time point, z-steps projected by maximum."""
    order = list(dict.fromkeys((one.well, one.site) for one in plate.fields))
    for one in plate.fields:
        got = read_field(plate.root, one, plate.channels)
        wanted = field(order.index((one.well, one.site)), one.t, depth, channels)
        np.testing.assert_array_equal(got, wanted)


WELLS = {
    "nd2": lambda path: write_nd2(
        path, points=["name_A02_0000", "name_A02_0001", "name_B03_0000"], times=2, depth=3
    ),
    "lif": lambda path: write_lif(
        path, names=["Scan/A/2/R1", "Scan/A/2/R2", "Scan/B/3/R1"], times=2, depth=3
    ),
    "czi": lambda path: write_czi(path, scenes=["A2", "A2", "B3"], wells=True, times=2, depth=3, tiles=2),
}


@pytest.mark.parametrize("kind", sorted(WELLS))
def test_a_container_with_wells_is_a_plate(tmp_path, kind):
    path = tmp_path / f"my plate.{kind}"
    WELLS[kind](path)
    plate = open_plate(path)
    assert (plate.layout, plate.is_plate, plate.evidence, plate.name) == (
        "containers",
        True,
        "side file",
        "my_plate",
    )
    assert places(plate) == [(w, s, t) for w, s in (("A02", 1), ("A02", 2), ("B03", 1)) for t in (0, 1)]
    names = ("Blue", "Green") if kind == "lif" else CHANNELS
    assert tuple(channel.name for channel in plate.channels) == names
    assert all(one.pixel_size_um == pytest.approx(0.65) for one in plate.fields)
    assert [record.status for record in plate.files] == [FileStatus.USED]
    assert_pixels(plate, depth=3)


def test_scenes_lie_where_their_pixels_do(tmp_path):
    """All scenes of a CZI share one frame of pixels, so that overlapping fields are counted once."""
    write_czi(tmp_path / "a.czi", scenes=["A2", "A2"], wells=True)
    one, other = (field.position_um for field in open_plate(tmp_path / "a.czi").fields)
    assert one == (pytest.approx(24 * 0.65), pytest.approx(32 * 0.65))
    assert other[1] - one[1] == pytest.approx(1000 * 0.65)


def test_positions_in_different_frames_are_not_compared(tmp_path):
    """Two files of one well both begin at their own origin; so may scenes that no microscope wrote."""
    for number in (1, 2):
        write_czi(tmp_path / f"x_B02_{number}.czi")
    plate = open_plate(tmp_path)
    assert [(one.well, one.site, one.position_um) for one in plate.fields] == [
        ("B02", 1, None),
        ("B02", 2, None),
    ]
    write_czi(tmp_path / "a.czi", scenes=["A2", "A2"], wells=True, apart_px=0)
    plate = open_plate(tmp_path / "a.czi")
    assert [one.position_um for one in plate.fields] == [None, None]
    assert [text for text in plate.remarks if "stage positions of 2 images are not used" in text]


@pytest.mark.parametrize("device", [(), (1, 1)])
def test_positions_whose_axes_are_not_known_are_those_of_the_stage(tmp_path, device):
    write_nd2(tmp_path / "a.nd2", points=["x", "y"], device=device)
    plate = open_plate(tmp_path / "a.nd2")
    assert [one.position_um for one in plate.fields] == [None, None]
    assert all(one.stage_um for one in plate.fields)


@pytest.mark.parametrize(
    ("kind", "write", "names"),
    [
        ("nd2", lambda path: write_nd2(path, points=["", "left"]), ["a_1", "a_left"]),
        (
            "lif",
            lambda path: write_lif(path, names=["Series001", "f/Series002"]),
            ["a_Series001", "a_f_Series002"],
        ),
        ("lif", lambda path: write_lif(path, tiles=2), ["a_Series001_tile_1", "a_Series001_tile_2"]),
        ("czi", lambda path: write_czi(path, scenes=["P1", "P2"]), ["a_P1", "a_P2"]),
    ],
)
def test_images_without_wells_are_a_collection(tmp_path, kind, write, names):
    write(tmp_path / f"a.{kind}")
    plate = open_plate(tmp_path / f"a.{kind}")
    assert not plate.is_plate
    assert [one.name for one in plate.fields] == names
    assert_pixels(plate, depth=1)


def test_a_single_image_has_the_name_of_its_file(tmp_path):
    write_nd2(tmp_path / "a.nd2", lossless=True)
    plate = open_plate(tmp_path / "a.nd2")
    assert [one.name for one in plate.fields] == ["a"]
    assert_pixels(plate, depth=1)


def test_a_container_per_well_is_a_plate(tmp_path):
    """As of Nikon's JOBS; several files of one well hold further fields of it."""
    for well, number in (("A01", 0), ("B02", 1), ("B02", 2)):
        write_nd2(tmp_path / f"JOBS_Well{well}_Seq000{number}.nd2")
    plate = open_plate(tmp_path)
    assert (plate.is_plate, plate.evidence, places(plate)) == (
        True,
        "names",
        [("A01", 1, 0), ("B02", 1, 0), ("B02", 2, 0)],
    )


def test_a_damaged_container_of_a_well_is_a_gap_of_that_well(tmp_path):
    write_czi(tmp_path / "A01.czi")
    (tmp_path / "A02.czi").write_bytes((tmp_path / "A01.czi").read_bytes()[:-300])
    plate = open_plate(tmp_path)
    assert [(one.well, bool(one.problem)) for one in plate.fields] == [("A01", False), ("A02", True)]
    assert list(quarantined(plate)) == ["A02.czi"]


def test_a_damaged_container_whose_wells_are_not_known_is_named(tmp_path):
    write_nd2(tmp_path / "first.nd2", points=["x_A02_0"])
    write_nd2(tmp_path / "second.nd2", points=["x_B03_0"])
    (tmp_path / "third.nd2").write_bytes((tmp_path / "first.nd2").read_bytes()[:5000])
    plate = open_plate(tmp_path)
    assert list(plate.wells()) == ["A02", "B03"]
    assert list(quarantined(plate)) == ["third.nd2"]
    assert [text for text in plate.remarks if text.endswith("which wells are in it: third.nd2")]


def test_names_that_number_positions_are_no_wells(tmp_path):
    write_nd2(tmp_path / "a.nd2", points=["P01", "P02"])
    assert not open_plate(tmp_path / "a.nd2").is_plate


def test_files_of_one_well_with_other_channels_are_refused(tmp_path):
    write_nd2(tmp_path / "x_A01_green.nd2", channels=["GFP"])
    write_nd2(tmp_path / "x_A01_blue.nd2", channels=["DAPI"])
    with pytest.raises(InputError, match="several files of well A01 hold different channels"):
        open_plate(tmp_path)


def test_wells_in_several_folders_are_several_plates(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_nd2(tmp_path / name / "A01.nd2")
        write_nd2(tmp_path / name / "A02.nd2")
    with pytest.raises(InputError, match="several plates") as caught:
        open_plate(tmp_path)
    assert "nucbatch" in str(caught.value)


def test_a_folder_of_containers_of_all_kinds_is_a_collection(tmp_path):
    write_nd2(tmp_path / "a.nd2", points=["", ""])
    write_lif(tmp_path / "b.lif")
    write_czi(tmp_path / "c.czi")
    (tmp_path / "notes.txt").write_text("x")
    tifffile.imwrite(tmp_path / "d.tif", plane())
    plate = open_plate(tmp_path)
    assert [one.name for one in plate.fields] == ["a_1", "a_2", "b", "c"]
    assert "beside containers" in quarantined(plate)["d.tif"]
    assert sum(record.status is FileStatus.USED for record in plate.files) == 3
    for one in plate.fields:
        channels = tuple(c for c in plate.channels if c.name in {plane.channel for plane in one.planes})
        assert FieldReader.of(plate).read_whole(one, channels).shape == (2, 48, 64)


def test_a_container_of_one_image_among_pictures_is_a_picture(tmp_path):
    for name in "abc":
        tifffile.imwrite(tmp_path / f"{name}.tif", plane())
    write_nd2(tmp_path / "d.nd2", channels=["DAPI"], depth=2)
    write_nd2(tmp_path / "e.nd2", points=["", ""])
    plate = open_plate(tmp_path)
    assert plate.layout == "folder"
    assert [one.name for one in plate.fields if not one.problem] == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(
        read_field(plate.root, plate.fields[3], plate.channels), field(0, 0, depth=2, channels=1)
    )
    assert quarantined(plate)["e.nd2"] == (
        "it holds 2 images: give the file alone, or a folder of such files"
    )


@pytest.mark.parametrize(("kind", "module"), [("nd2", "nd2"), ("lif", "liffile"), ("czi", "micro_reader")])
def test_a_library_that_is_not_installed_is_named_with_the_command(tmp_path, monkeypatch, kind, module):
    WELLS[kind](tmp_path / f"a.{kind}")
    monkeypatch.setitem(sys.modules, module, None)
    _listed.cache_clear()
    with pytest.raises(InputError) as caught:
        open_plate(tmp_path / f"a.{kind}")
    assert str(caught.value).endswith(f"python -m pip install 'nucbatch[{kind}]'")


def test_an_image_that_was_never_acquired_is_a_gap(tmp_path):
    write_lif(tmp_path / "a.lif", names=["S1", "S2"], empty=[1])
    plate = open_plate(tmp_path / "a.lif")
    assert [one.problem for one in plate.fields] == [
        "",
        "it was never acquired: the file records no pixels of it",
    ]
    assert [record.status for record in plate.files] == [FileStatus.USED]


def test_images_of_one_name_are_refused_and_not_read_as_one(tmp_path):
    write_lif(tmp_path / "a.lif", names=["S1", "S1"])
    assert "several of one name" in quarantined(open_plate(tmp_path / "a.lif"))["a.lif"]


def test_a_pipe_named_like_a_container_is_not_waited_for(tmp_path):
    write_nd2(tmp_path / "a.nd2")
    os.mkfifo(tmp_path / "b.nd2")
    assert "not a regular file" in quarantined(open_plate(tmp_path))["b.nd2"]
    with pytest.raises(InputError, match="neither a file nor a folder"):
        open_plate(tmp_path / "b.nd2")


@pytest.mark.parametrize(
    ("kind", "write"),
    [
        ("nd2", write_nd2),
        ("lif", write_lif),
        ("czi", lambda path, shape: write_czi(path, shape=shape, codec="raw")),
        ("czi", lambda path, shape: write_czi(path, shape=shape, tiles=16)),
    ],
)
def test_a_box_is_read_in_its_own_memory(tmp_path, kind, write):
    """A plane takes 4 MB, a box of 64 px 8 KB, and one of 16 tiles 256 KB."""
    write(tmp_path / f"a.{kind}", shape=(1000, 2000))
    with open_source(tmp_path / f"a.{kind}") as source:
        window = source.plane(1)
        window.read(Box(0, 0, 8, 8))  # imports, indices
        assert window.piece_bytes <= 1000 * 125 * 2
        tracemalloc.start()
        pixels = window.read(Box(500, 700, 564, 764))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    np.testing.assert_array_equal(pixels, plane(0, 0, 1, 0, (1000, 2000))[500:564, 700:764])
    assert peak < 1 << 20


COLOUR = {
    "nd2": lambda path: write_nd2(path, channels=["Brightfield"], coloured=True),
    "nd2 lossless": lambda path: write_nd2(path, channels=["Brightfield"], coloured=True, lossless=True),
    "lif RGB": lambda path: write_lif(path, coloured="RGB"),
    "lif BGR": lambda path: write_lif(path, coloured="BGR"),
    "lif with longer rows": lambda path: write_lif(path, coloured="BGR", row_pad=3),
    "czi": lambda path: write_czi(path, channels=["TL"], coloured="BGR", codec="raw"),
    "czi zstd": lambda path: write_czi(path, channels=["TL"], coloured="BGR", tiles=2),
    "czi with alpha": lambda path: write_czi(path, channels=["TL"], coloured="BGRA"),
}


@pytest.mark.parametrize("kind", sorted(COLOUR))
def test_a_picture_in_colour_is_one_image_of_three_colours(tmp_path, kind):
    path = tmp_path / f"a.{kind[:3]}"
    COLOUR[kind](path)
    plate = open_plate(path)
    assert [channel.name for channel in plate.channels] == ["Red", "Green", "Blue"]
    (one,) = plate.fields
    assert (one.problem, [(plane.channel, plane.samples) for plane in one.planes]) == ("", [("RGB", 3)])
    wanted = np.moveaxis(colours(), -1, 0)
    wanted = (wanted % 256).astype(np.uint8) if "alpha" in kind else wanted
    np.testing.assert_array_equal(read_field(plate.root, one, plate.channels), wanted)
    box = Box(3, 5, 40, 60)
    got = FieldReader.of(plate).read_box(one, plate.channels, box)
    np.testing.assert_array_equal(got, wanted[:, 3:40, 5:60])
    assert one.pixel_size_um == pytest.approx(0.65)


@pytest.mark.parametrize(
    ("kind", "write"),
    [
        ("nd2", lambda path: write_nd2(path, coloured=True)),
        ("czi", lambda path: write_czi(path, coloured="BGR")),
        ("nd2", lambda path: write_nd2(path, channels=["TL"], coloured=True, depth=3)),
        ("lif", lambda path: write_lif(path, coloured="RGB", depth=3)),
        ("czi", lambda path: write_czi(path, channels=["TL"], coloured="BGR", depth=3)),
    ],
)
def test_colours_that_are_no_single_picture_are_refused(tmp_path, kind, write):
    write(tmp_path / f"a.{kind}")
    (one,) = open_plate(tmp_path / f"a.{kind}").fields
    assert "of which each has colours" in one.problem or "a colour image of 3 z-steps" in one.problem


def test_time_points_of_a_picture_in_colour_are_fields(tmp_path):
    write_nd2(tmp_path / "a.nd2", channels=["TL"], coloured=True, times=2)
    plate = open_plate(tmp_path / "a.nd2")
    for one in plate.fields:
        got = read_field(plate.root, one, plate.channels)
        np.testing.assert_array_equal(np.moveaxis(got, 0, -1), colours(0, one.t))


def test_the_smaller_copies_of_a_pyramid_are_not_read(tmp_path):
    write_czi(tmp_path / "a.czi", scenes=["P1", "P2"], tiles=2, pyramid=True)
    plate = open_plate(tmp_path / "a.czi")
    assert [(one.name, one.height_px, one.width_px) for one in plate.fields] == [
        ("a_P1", 48, 64),
        ("a_P2", 48, 64),
    ]
    assert_pixels(plate, depth=1)


TURNED = {
    # The usual camera: a stage that moves to larger x shows what lies to the left.
    "half a turn": ((-1, 0, 0, -1), (), [(0.0, 0.0), (0.0, 30.0), (20.0, 0.0)]),
    "not turned": ((1, 0, 0, 1), (), [(0.0, 0.0), (0.0, -30.0), (-20.0, 0.0)]),
    "a quarter": ((0, -1, 1, 0), (), [(0.0, 0.0), (30.0, 0.0), (0.0, -20.0)]),
    "the stage counts x the other way": ((-1, 0, 0, -1), (-1, 1), [(0.0, 0.0), (0.0, -30.0), (20.0, 0.0)]),
}


@pytest.mark.parametrize("kind", sorted(TURNED))
def test_nd2_positions_lie_along_the_axes_of_the_image(tmp_path, kind):
    matrix, device, wanted = TURNED[kind]
    write_nd2(
        tmp_path / "a.nd2",
        points=["n_A01_0", "n_A01_1", "n_A01_2"],
        stage_um=[(0, 0), (-30, 0), (0, -20)],
        matrix=matrix,
        device=device,
    )
    plate = open_plate(tmp_path / "a.nd2")
    assert [one.position_um for one in plate.fields] == [pytest.approx(place) for place in wanted]
    assert not [text for text in plate.remarks if "positions" in text]


ORIENTED = {
    (): [(0.0, 0.0), (0.0, 30.0), (20.0, 0.0)],
    ("FlipX",): [(0.0, 0.0), (0.0, -30.0), (20.0, 0.0)],
    ("FlipY",): [(0.0, 0.0), (0.0, 30.0), (-20.0, 0.0)],
    ("SwapXY",): [(0.0, 0.0), (30.0, 0.0), (0.0, 20.0)],
    ("FlipX", "FlipY", "SwapXY"): [(0.0, 0.0), (-30.0, 0.0), (0.0, -20.0)],
}


@pytest.mark.parametrize("turned", sorted(ORIENTED))
def test_tiles_of_a_lif_mosaic_lie_where_the_stage_was(tmp_path, turned):
    write_lif(
        tmp_path / "a.lif",
        names=["Scan/A/2/R1"],
        tiles=3,
        stage_m=[(0.0, 0.0), (30e-6, 0.0), (0.0, 20e-6)],
        turned=turned,
    )
    plate = open_plate(tmp_path / "a.lif")
    assert [one.well for one in plate.fields] == ["A02"] * 3
    assert [one.position_um for one in plate.fields] == [pytest.approx(at) for at in ORIENTED[turned]]


@pytest.mark.parametrize("turned", [("FlipX", "SwapXY"), ("FlipY", "SwapXY")])
def test_tiles_whose_orientation_readers_tell_differently_are_not_placed(tmp_path, turned):
    stage_m = [(0.0, 0.0), (30e-6, 0.0)]
    write_lif(tmp_path / "a.lif", tiles=2, stage_m=stage_m, turned=turned)
    plate = open_plate(tmp_path / "a.lif")
    assert [one.position_um for one in plate.fields] == [None, None]
    assert [text for text in plate.remarks if "stage positions of 2 images are not used" in text]
