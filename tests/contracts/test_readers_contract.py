"""What every installed reader keeps to: full accounts, whatever the order on disk, every time the same."""

import json
import os
from collections import Counter
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from nucbatch.core.errors import InputError
from nucbatch.core.plate import FileStatus
from nucbatch.core.plate_geometry import split_well
from nucbatch.readers.contract import ReadOptions
from nucbatch.readers.find import GROUP, open_plate
from nucbatch.readers.listing import scan
from nucbatch.readers.pixels import field_channels, read_field

JUNK: dict[str, bytes | None] = {".DS_Store": b"x", "._a.tif": b"x", "Thumbs.db": b"x"}
POINTS = {point.name: point for point in entry_points(group=GROUP)}
TREES = {name: point.load().example for name, point in POINTS.items()}


@pytest.fixture(params=sorted(POINTS))
def reader(request):
    return POINTS[request.param].load()()


def write_group(path: Path, attributes: dict[str, object]) -> None:
    document = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {"ome": {"version": "0.5", **attributes}},
    }
    path.mkdir(parents=True, exist_ok=True)
    (path / "zarr.json").write_text(json.dumps(document))
    os.utime(path / "zarr.json", ns=(10**9, 10**9))


def write_stored(root: Path, path: str) -> None:
    """An image's group, and those of its well and plate around it, which list all images so far."""
    store, row, column, _ = path.split("/")
    described = {"axes": [{"name": "y"}, {"name": "x"}], "datasets": [{"path": "0"}]}
    write_group(root / path, {"multiscales": [described]})
    zarr.create_array(root / path / "0", data=np.full((16, 16), len(path), np.uint16))
    well = root / store / row / column
    images = sorted(child.name for child in well.iterdir() if child.is_dir())
    write_group(well, {"well": {"images": [{"path": name} for name in images]}})
    wells = sorted(
        str(found.relative_to(root / store)) for found in (root / store).glob("*/*") if found.is_dir()
    )
    write_group(root / store, {"plate": {"name": "p", "wells": [{"path": name} for name in wells]}})


def grow(root: Path, name: str, *, backwards: bool = False) -> Path:
    example = TREES[name]
    for path, content in sorted({**example.files, **JUNK}.items(), reverse=backwards):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if ".zarr/" in path:
            write_stored(root, path)
            continue
        if content is None:
            tifffile.imwrite(root / path, np.full((16, 16), len(path), np.uint16))
        else:
            (root / path).write_bytes(content)
        os.utime(root / path, ns=(10**9, 10**9))
    (root / "dangling.tif").symlink_to("nowhere")
    return root / example.given


def test_it_knows_its_own_name(reader):
    assert POINTS[reader.name].load() is type(reader)


def test_it_recognises_its_own_tree_and_wins_it(reader, tmp_path):
    path = grow(tmp_path, reader.name)
    assert reader.recognise(scan(path))
    assert open_plate(path).layout == reader.name


def test_it_recognises_nothing_in_an_empty_folder(reader, tmp_path):
    assert not reader.recognise(scan(tmp_path))


def test_a_single_picture_is_left_to_the_reader_of_single_pictures(reader, tmp_path):
    """A file named like a plane of a plate, given alone, is a picture and no plate of one well."""
    grow(tmp_path, reader.name)
    pictures = [path for path in tmp_path.rglob("*.tif") if path.is_file()]
    assert [path for path in pictures if open_plate(path).layout != "single"] == []


def test_every_file_has_one_record(reader, tmp_path):
    path = grow(tmp_path, reader.name)
    listing = scan(path)
    found = {file.path for file in listing.files} | {record.path for record in listing.settled}
    if not listing.single:
        on_disk = {str(entry.relative_to(tmp_path)) for entry in tmp_path.rglob("*") if not entry.is_dir()}
        # a Zarr store is one line, however many chunks it has
        on_disk = {path.partition(".zarr/")[0] + ".zarr/" if ".zarr/" in path else path for path in on_disk}
        assert found == on_disk
    for plate in (reader.read(listing, ReadOptions()), open_plate(path)):
        paths = Counter(record.path for record in plate.files)
        assert found <= set(paths)
        assert set(paths.values()) == {1}
        assert all(bool(record.reason) != (record.status is FileStatus.USED) for record in plate.files)


def test_used_files_are_exactly_the_planes_of_sound_fields(reader, tmp_path):
    plate = open_plate(grow(tmp_path, reader.name))
    planes = sorted({plane.path for field in plate.fields if not field.problem for plane in field.planes})
    assert planes == [record.path for record in plate.files if record.status is FileStatus.USED]
    assert planes


def test_names_are_unique_and_wells_are_spelt_one_way(reader, tmp_path):
    plate = open_plate(grow(tmp_path, reader.name))
    for values in (
        [f.group for f in plate.fields],
        [f.name for f in plate.fields],
        [c.name for c in plate.channels],
    ):
        assert len(set(values)) == len(values)
    for field in plate.fields:
        assert bool(field.well) == plate.is_plate
        assert field.site >= 1
        assert field.t >= 0
        if plate.is_plate:
            row, column = split_well(field.well)
            assert field.group.startswith(f"{row}/{column}/")
            assert field.group.rpartition("/")[2].isalnum()


def test_sound_fields_can_be_read_as_planned(reader, tmp_path):
    plate = open_plate(grow(tmp_path, reader.name))
    for field in plate.fields:
        if not field.problem:
            channels = field_channels(plate, field)
            array = read_field(plate.root, field, channels)
            assert array.shape == (len(channels), field.height_px, field.width_px)
            assert array.dtype.name == field.dtype


def test_the_order_on_disk_changes_nothing(reader, tmp_path):
    (tmp_path / "one/plate").mkdir(parents=True)
    (tmp_path / "two/plate").mkdir(parents=True)
    first = open_plate(grow(tmp_path / "one/plate", reader.name))
    second = open_plate(grow(tmp_path / "two/plate", reader.name, backwards=True))
    assert (first.name, first.channels, first.fields, first.files) == (
        second.name,
        second.channels,
        second.fields,
        second.files,
    )


def test_the_same_plate_is_read_twice_the_same(reader, tmp_path):
    path = grow(tmp_path, reader.name)
    assert open_plate(path) == open_plate(path)


def test_a_forced_reader_reads_or_refuses_but_never_crashes(reader, tmp_path):
    for name in TREES:
        (tmp_path / name).mkdir()
        path = grow(tmp_path / name, name)
        try:
            plate = open_plate(path, layout=reader.name)
        except InputError:
            continue
        assert plate.layout == reader.name
