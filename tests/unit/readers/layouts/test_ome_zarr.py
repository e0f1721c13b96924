"""OME-Zarr images, collections and plates are read by their metadata."""

import json
import shutil

import numpy as np
import pytest
import zarr

from nucbatch.core.errors import InputError, UnreadableImage
from nucbatch.core.plate import Channel, Field, FileStatus, Plate
from nucbatch.core.tiles import Box
from nucbatch.readers.find import open_plate
from nucbatch.readers.formats import open_plane, open_source, whole
from nucbatch.readers.pixels import FieldReader, field_channels, read_field
from nucbatch.readers.plate_summary import summarise
from nucbatch.readers.summary_text import facts
from nucbatch.store.images import create_images, write_field
from nucbatch.store.run_folder import RunFolder
from nucbatch.zarr_format.ome import below, form_of

RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 900, (2, 3, 4, 40, 60)).astype(np.uint16)  # T, C, Z, Y, X


def write_image(
    path, pixels, axes, *, version="0.5", channels=(), um=0.5, chunks=None, shards=None, levels=2
):
    """An image written by zarr itself, with its metadata as the specification's examples have them."""
    group = zarr.open_group(path, mode="w", zarr_format=3 if version == "0.5" else 2)
    datasets = []
    for level in range(levels):
        step = 2**level
        lower = np.ascontiguousarray(pixels[..., ::step, ::step])
        group.create_array(str(level), data=lower, chunks=chunks or "auto", shards=shards)
        scale = [um * step if axis in "yx" else 1.0 for axis in axes]
        transforms = [{"type": "scale", "scale": scale}]
        datasets.append({"path": str(level), "coordinateTransformations": transforms})
    described = [{"name": axis, **({"unit": "micrometer"} if axis in "yx" else {})} for axis in axes]
    attributes = {"multiscales": [{"axes": described, "datasets": datasets, "version": version}]}
    if channels:
        attributes["omero"] = {"channels": [{"label": name} for name in channels]}
    group.attrs.update({"ome": {"version": "0.5", **attributes}} if version == "0.5" else attributes)
    return path


def write_group(path, attributes, version="0.5"):
    group = zarr.open_group(path, mode="a", zarr_format=3 if version == "0.5" else 2)
    group.attrs.update({"ome": {"version": "0.5", **attributes}} if version == "0.5" else attributes)


def write_plate(path, wells, version="0.5", **options):
    """``wells``: for each ``row/column`` its images' names."""
    listed = [{"path": well, "rowIndex": 0, "columnIndex": 0} for well in wells]
    write_group(path, {"plate": {"name": "Plate 7", "wells": listed}}, version)
    for well, images in wells.items():
        write_group(path / well, {"well": {"images": [{"path": image} for image in images]}}, version)
        for image in images:
            write_image(path / well / image, STACK[0, :2, 0], "cyx", version=version, **options)
    return path


def fates(plate) -> dict[str, str]:
    return {record.path: f"{record.status.value} {record.reason}".strip() for record in plate.files}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_image_with_channels_z_and_time(tmp_path, version):
    path = write_image(tmp_path / "a.zarr", STACK, "tczyx", version=version, channels=("DAPI", "GFP", "Cy5"))
    plate = open_plate(path)
    assert (plate.layout, plate.name, plate.is_plate) == ("omezarr", "a", False)
    assert [channel.name for channel in plate.channels] == ["DAPI", "GFP", "Cy5"]
    assert [(f.name, f.t, f.height_px, f.width_px, f.dtype, f.pixel_size_um) for f in plate.fields] == [
        ("a_t0", 0, 40, 60, "uint16", 0.5),
        ("a_t1", 1, 40, 60, "uint16", 0.5),
    ]
    assert fates(plate) == {"a.zarr/": "used"}
    for field, moment in zip(plate.fields, STACK, strict=True):
        np.testing.assert_array_equal(read_field(plate.root, field, plate.channels), moment.max(axis=1))


def test_a_folder_of_images_each_of_its_own_kind(tmp_path):
    write_image(tmp_path / "b.zarr", STACK[0, :2, 0], "cyx")
    write_image(tmp_path / "sub" / "a.ome.zarr", STACK[0, 0, 0], "yx", version="0.4")
    write_group(tmp_path / "c.zarr", {"tables": []})
    (tmp_path / "notes.txt").write_text("x")
    plate = open_plate(tmp_path)
    assert [(field.name, field.problem) for field in plate.fields] == [("b", ""), ("a.ome", "")]
    assert [channel.name for channel in plate.channels] == ["C1", "C2", "Grey"]
    assert fates(plate) == {
        "b.zarr/": "used",
        "c.zarr/": "quarantined a Zarr without an image, plate or series of OME-Zarr",
        "notes.txt": "ignored not-an-image: its name does not have the ending of an image",
        "sub/a.ome.zarr/": "used",
    }


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_plate(tmp_path, version):
    wells = {"B/3": ["0", "1"], "A/12": ["0"]}
    path = write_plate(tmp_path / "p.zarr", wells, version, channels=("Hoechst", "WGA"))
    plate = open_plate(path)
    assert (plate.name, plate.is_plate) == ("Plate 7", True)
    assert [(f.well, f.site, f.t, f.group) for f in plate.fields] == [
        ("A12", 1, 0, "A/12/1"),
        ("B03", 1, 0, "B/3/1"),
        ("B03", 2, 0, "B/3/2"),
    ]
    assert [channel.name for channel in plate.channels] == ["Hoechst", "WGA"]
    assert fates(plate) == {
        "p.zarr/": "ignored zarr-group: a Zarr group that only lists images; each image counts as one file",
        "p.zarr/A/12/0/": "used",
        "p.zarr/B/3/0/": "used",
        "p.zarr/B/3/1/": "used",
    }
    np.testing.assert_array_equal(read_field(plate.root, plate.fields[2], plate.channels), STACK[0, :2, 0])


def test_listed_but_missing_images_are_quarantined(tmp_path):
    path = write_plate(tmp_path / "p.zarr", {"A/1": ["0"], "A/2": ["0"], "A/3": ["0"], "Q7/x": []})
    shutil.rmtree(path / "A/2/0")
    shutil.rmtree(path / "A/3")
    write_image(path / "A/1/9", STACK[0, 0, 0], "yx")
    plate = open_plate(path)
    assert [(f.well, bool(f.problem)) for f in plate.fields] == [("A01", False), ("A02", True), ("A03", True)]
    said = fates(plate)
    assert said["p.zarr/A/1/9/"].startswith("ignored unlisted: ")
    assert said["p.zarr/A/2/0/"] == "quarantined can't be opened (No such file or directory)"
    assert said["p.zarr/A/3/"].startswith("quarantined the plate lists it as a well")
    assert said["p.zarr/Q7/x/"] == "quarantined 'Q7/x' is no well (A/1 to AF/48)"


@pytest.mark.parametrize("is_plate", [True, False])
def test_a_runs_own_store_is_an_input(tmp_path, is_plate):
    groups = (
        {"B/3/1t0": "B03", "B/3/1t1": "B03", "C/4/1t0": "C04", "C/4/1t1": "C04"}
        if is_plate
        else {"x.b": "", "y": ""}
    )
    channels = (Channel("DAPI", 0), Channel("GFP", 1))
    fields = tuple(
        Field(
            well,
            1,
            int(group[-1]) if is_plate else 0,
            group,
            group.replace("/", "_"),
            (),
            40,
            60,
            "uint16",
            0.5,
        )
        for group, well in groups.items()
    )
    run = RunFolder(tmp_path / "out")
    run.create()
    made = Plate("P1", "/", "x", channels, fields, (), is_plate=is_plate)
    store = create_images(run, made)
    for number, field in enumerate(fields):
        pixels = STACK[0, :2, 0] + np.uint16(number)
        write_field(store, field, channels, pixels, np.zeros((40, 60), np.uint32))
    for given in (store, tmp_path / "out"):
        plate = open_plate(given)
        assert (plate.layout, plate.is_plate) == ("omezarr", is_plate)
        assert [(one.name, one.color) for one in plate.channels] == [("DAPI", "0000FF"), ("GFP", "00FF00")]
        assert [(f.well, f.site, f.t, f.group, f.pixel_size_um) for f in plate.fields] == [
            (f.well, number + 1 if not is_plate else 1, f.t, f.group, 0.5) for number, f in enumerate(fields)
        ]
        for number, field in enumerate(plate.fields):
            array = read_field(plate.root, field, plate.channels)
            np.testing.assert_array_equal(array, STACK[0, :2, 0] + np.uint16(number))


@pytest.mark.parametrize("version", ["0.5", "0.4"])
@pytest.mark.parametrize("is_plate", [True, False])
def test_images_that_a_conversion_lost_are_missed(tmp_path, is_plate, version):
    channels = (Channel("DAPI", 0),)
    names = ["B/3/1", "B/3/2", "C/4/1"] if is_plate else ["a", "b", "c"]
    wells = ["B03", "B03", "C04"] if is_plate else [""] * 3
    places = [(1, 0), (2, 0), (1, 0)] if is_plate else [(1, 0), (2, 0), (3, 0)]
    problems = ["", "b.tif: cut short", ""]
    fields = tuple(
        Field(well, *place, name, name.replace("/", "_"), (), 40, 60, "uint16", 0.5, problem)
        for name, well, place, problem in zip(names, wells, places, problems, strict=True)
    )
    run = RunFolder(tmp_path / "out")
    run.create()
    made = Plate("P1", "/", "x", channels, fields, (), is_plate=is_plate)
    store = create_images(run, made, [names[2]], reasons={names[2]: "c.tif: gone"}, version=version)
    pixels = STACK[0, :1, 0]
    write_field(store, fields[0], channels, pixels, np.zeros((40, 60), np.uint32), version=version)
    plate = open_plate(store)
    if is_plate:
        lost = "lost when the OME-Zarr was written: "
        assert {(one.well, one.site): one.problem for one in plate.fields} == {
            ("B03", 1): "",
            ("B03", 2): f"{lost}b.tif: cut short",
            ("C04", 1): f"{lost}c.tif: gone",
        }
    else:
        assert len(plate.fields) == 1
        bad = {one.path: one.reason for one in plate.files if one.status is FileStatus.QUARANTINED}
        assert bad == {"images.zarr/b/": "b.tif: cut short", "images.zarr/c/": "c.tif: gone"}


def test_a_list_of_lost_images_that_is_none_is_left_out(tmp_path):
    path = write_plate(tmp_path / "p.zarr", {"B/3": ["0"]})
    document = json.loads((path / "zarr.json").read_text())
    for lost in ({"B/3/0": "listed"}, {"B/3/9": 7}, {"../x": "y", "B/x/1": "y"}, ["B/3/9"], "x"):
        document["attributes"]["nucbatch"] = {"lost_images": lost}
        (path / "zarr.json").write_text(json.dumps(document))
        assert [field.problem for field in open_plate(path).fields] == [""]


def test_rgb_images_stay_rgb(tmp_path):
    rgb = RNG.integers(0, 256, (3, 40, 60)).astype(np.uint8)
    write_image(tmp_path / "a.zarr", rgb, "cyx", channels=("Red", "Green", "Blue"))
    plate = open_plate(tmp_path / "a.zarr")
    assert [plane.samples for plane in plate.fields[0].planes] == [3]
    np.testing.assert_array_equal(read_field(plate.root, plate.fields[0], plate.channels), rgb)
    with open_plane(tmp_path / "a.zarr") as window:
        assert window.shape == (40, 60, 3)
        np.testing.assert_array_equal(window.read(Box(3, 4, 9, 20)), np.moveaxis(rgb, 0, -1)[3:9, 4:20])


def test_series_are_named_after_their_store(tmp_path):
    write_group(tmp_path / "s.zarr", {"bioformats2raw.layout": 3})
    write_group(tmp_path / "s.zarr" / "OME", {"series": ["0", "1"]})
    for name in "01":
        write_image(tmp_path / "s.zarr" / name, STACK[0, 0, 0], "yx")
    plate = open_plate(tmp_path)
    assert [field.name for field in plate.fields] == ["s_0", "s_1"]


def test_a_well_or_an_image_of_a_plate_can_be_given_alone(tmp_path):
    path = write_plate(tmp_path / "p.zarr", {"B/3": ["0", "1"]})
    assert [field.name for field in open_plate(path / "B/3").fields] == ["3_0", "3_1"]
    assert len(open_plate(path / "B/3/0").fields) == 1


def test_images_win_over_stores_unless_a_layout_is_given(tmp_path):
    write_image(tmp_path / "a.zarr", STACK[0, 0, 0], "yx")
    (tmp_path / "b.png").write_bytes(b"")
    plate = open_plate(tmp_path)
    assert plate.layout == "folder"
    assert fates(plate)["a.zarr/"] == (
        "ignored zarr-store: a Zarr store beside images; give its own path to read it"
    )
    said = fates(open_plate(tmp_path, layout="omezarr"))
    assert (said["a.zarr/"], said["b.png"].split(":")[0]) == ("used", "ignored beside-zarr")


def test_several_plates_and_non_images_are_rejected(tmp_path):
    write_plate(tmp_path / "p.zarr", {"A/1": ["0"]})
    write_plate(tmp_path / "q.zarr", {"A/1": ["0"]})
    with pytest.raises(
        InputError, match=r"holds 2 OME-Zarr plates among 2 stores\. Run each alone:\n.*p\.zarr"
    ):
        open_plate(tmp_path)
    write_group(tmp_path / "r.zarr", {"x": 1})
    with pytest.raises(InputError, match=r"r\.zarr can't be used: a Zarr without an image"):
        open_plate(tmp_path / "r.zarr")


@pytest.mark.parametrize("name", ["../secret", "/etc", "a/../../b", ""])
def test_paths_in_metadata_stay_inside(tmp_path, name):
    with pytest.raises(UnreadableImage, match="leads out of it"):
        below(tmp_path, name)
    path = write_plate(tmp_path / "p.zarr", {"A/1": ["0"]})
    (path / "A/1/zarr.json").write_text(
        json.dumps({"attributes": {"ome": {"well": {"images": [{"path": name}]}}}, "node_type": "group"})
    )
    plate = open_plate(path)
    assert [bool(field.problem) for field in plate.fields] == [True]
    assert "leads out of it" in fates(plate)["p.zarr/A/1/"]


def test_links_in_a_store_stay_inside(tmp_path):
    write_image(tmp_path / "outside", STACK[0, 0, 0], "yx")
    path = write_plate(tmp_path / "p.zarr", {"A/1": ["0"]})
    shutil.rmtree(path / "A/1/0")
    (path / "A/1/0").symlink_to(tmp_path / "outside")
    assert "a link that leads out of it" in fates(open_plate(path))["p.zarr/A/1/"]


def test_a_well_linked_to_another_is_not_counted_twice(tmp_path):
    path = write_plate(tmp_path / "p.zarr", {"A/1": ["0"], "A/2": ["0"]})
    shutil.rmtree(path / "A/2")
    (path / "A/2").symlink_to(path / "A/1")
    plate = open_plate(path)
    assert [(field.well, bool(field.problem)) for field in plate.fields] == [("A01", False), ("A02", True)]
    assert "a link to another part of it" in fates(plate)["p.zarr/A/2/"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"multiscales": []}, "no image: its metadata have no multiscales"),
        ({"multiscales": [{"datasets": []}]}, "its multiscales name no dataset"),
        ({"multiscales": [{"axes": 7, "datasets": [{"path": "0"}]}]}, "its metadata are damaged"),
        ({"multiscales": "x"}, "its metadata are damaged"),
        ({"image-label": {}}, "a label image"),
    ],
)
def test_damaged_metadata_are_reported(tmp_path, change, reason):
    path = write_image(tmp_path / "a.zarr", STACK[0, 0, 0], "yx")
    zarr.open_group(path).attrs["ome"] = change
    with pytest.raises(UnreadableImage, match=reason):
        form_of(path)


def test_the_planes_must_end_in_y_and_x(tmp_path):
    path = write_image(tmp_path / "a.zarr", STACK[0, 0], "yxz", levels=1)
    with pytest.raises(UnreadableImage, match="allowed are some of t, c, z, then y, x"):
        form_of(path)


def test_only_chunks_overlapping_a_box_are_read(tmp_path):
    path = write_image(tmp_path / "a.zarr", STACK, "tczyx", chunks=(1, 1, 1, 16, 16))
    with open_source(path) as source:
        window = source.plane(page=23)
        assert (window.shape, window.piece_bytes) == ((40, 60), 16 * 16 * 2)
        assert window.cost.pieces == 0
        np.testing.assert_array_equal(window.read(Box(10, 20, 20, 40)), STACK[1, 2, 3, 10:20, 20:40])
        assert window.cost.pieces == 2 * 2
        lower = source.plane(5, 1)
        np.testing.assert_array_equal(lower.read(whole(lower)), STACK[0, 1, 1, ::2, ::2])
        assert [level.pixel_size_um for level in source.levels()] == [0.5, 1.0]
        with pytest.raises(InputError, match="has no page 24: it has 24"):
            source.plane(24)
        with pytest.raises(InputError, match="has no level 2: it has 2"):
            source.plane(0, 2)


def test_other_chunks_may_be_damaged(tmp_path):
    path = write_image(tmp_path / "a.zarr", STACK[0, 0, 0], "yx", chunks=(16, 16))
    for chunk in (path / "0/c").glob("*/*"):
        if (chunk.parent.name, chunk.name) not in {("0", "1"), ("1", "1")}:
            chunk.write_bytes(b"no chunk")
    with open_plane(path) as window:
        np.testing.assert_array_equal(window.read(Box(0, 16, 32, 32)), STACK[0, 0, 0, :32, 16:32])
        with pytest.raises(UnreadableImage, match=r"a\.zarr: its c/0/0 can't be decoded as zstd"):
            window.read(Box(0, 0, 1, 1))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_absent_chunks_are_counted(tmp_path, version):
    path = write_plate(
        tmp_path / "p.zarr", {"A/1": ["0", "1"]}, version, chunks=(1, 16, 16), channels=("DAPI", "GFP")
    )
    assert (summarise(open_plate(path)).absent_chunks, summarise(open_plate(path)).chunks) == (0, 48)
    for chunk in sorted(
        file for file in (path / "A/1/1/0").rglob("*") if file.is_file() and file.name[-1].isdecimal()
    )[:5]:
        chunk.unlink()
    plate = open_plate(path)
    summary = summarise(plate)
    assert dict(facts(summary))["chunks"].startswith("5 of 48 chunks or tiles absent, in 1 image: ")
    assert summary.incomplete_images == (("p.zarr/A/1/1/", "5 of 24 chunks or tiles absent"),)
    assert summary.as_dict()["chunks"] == {
        "total": 48,
        "absent": 5,
        "images": [{"path": "p.zarr/A/1/1/", "chunks": "5 of 24 chunks or tiles absent"}],
    }
    whole, lacking = (
        FieldReader(plate.root).read(field, plate.channels, Box(0, 0, 40, 60)).coverage
        for field in plate.fields
    )
    assert [one.absent for one in whole] == [0, 0]
    assert [one.absent for one in lacking] == [(16 * 60 + 16 * 16) / (40 * 60), 0]


def test_only_the_index_and_chunks_of_a_shard_are_read(tmp_path):
    pixels = RNG.integers(0, 60000, (128, 128)).astype(np.uint16)
    path = write_image(tmp_path / "a.zarr", pixels, "yx", chunks=(16, 16), shards=(128, 128), levels=1)
    with open_plane(path) as window:
        np.testing.assert_array_equal(window.read(Box(16, 16, 32, 32)), pixels[16:32, 16:32])
        assert window.cost.pieces == 2
        assert window.cost.stored_bytes < 16 * 16 * 2 * 2 + 64 * 16 + 4


def test_files_are_counted_by_group(tmp_path):
    write_plate(tmp_path / "p.zarr", {"A/1": ["0", "1"]})
    plate = open_plate(tmp_path / "p.zarr")
    used = [record for record in plate.files if record.status is FileStatus.USED]
    assert [(record.path, record.channel, record.group) for record in used] == [
        ("p.zarr/A/1/0/", "", "A/1/1"),
        ("p.zarr/A/1/1/", "", "A/1/2"),
    ]
    assert field_channels(plate, plate.fields[0]) == plate.channels
