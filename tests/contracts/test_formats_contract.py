"""What every installed file format keeps to: recognised by its bytes, read by box, refused when damaged."""

from importlib.metadata import entry_points

import numpy as np
import pytest
from write_images import WRITERS

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.plate import FileStatus
from nucbatch.core.tiles import Box
from nucbatch.readers.find import open_plate
from nucbatch.readers.formats import open_source, whole
from nucbatch.readers.formats.headers import DTYPES, read_header, read_pages
from nucbatch.readers.formats.installed import GROUP, format_of, known_formats

POINTS = {point.name: point for point in entry_points(group=GROUP)}
WRITTEN = sorted(POINTS.keys() & WRITERS)
CUTS, FLIPS = 24, 48


@pytest.fixture(params=WRITTEN)
def written(request, tmp_path):
    name, write = WRITERS[request.param]
    path = tmp_path / name
    return request.param, path, write(path)


def pixels_at(path):
    """The first plane as a run reads it, after the check of the header."""
    info = read_header(path)
    with open_source(path) as source:
        plane = source.plane(info.stack.pages[0])
        assert plane.dtype.name == info.dtype
        return plane.read(whole(plane))


@pytest.mark.parametrize("name", sorted(POINTS))
def test_it_knows_its_name_and_endings(name):
    kind = POINTS[name].load()()
    assert kind.name == name
    assert kind.suffixes
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in kind.suffixes)
    assert not kind.recognises(b"")
    assert not kind.recognises(b"\0" * 32)


def test_every_format_of_the_project_is_tried_here():
    own = {name for name, point in POINTS.items() if point.value.startswith("nucbatch.")}
    assert own <= set(WRITERS)


def test_one_format_recognises_it(written):
    name, path, _ = written
    start = path.read_bytes()[:32]
    assert [one.name for one in known_formats() if one.recognises(start)] == [name]
    with path.open("rb") as file:
        assert format_of(file).name == name
        assert file.tell() == 0


def test_the_header_promises_what_is_read(written):
    _, path, pixels = written
    info = read_header(path)
    assert (info.height_px, info.width_px) == pixels.shape
    assert info.dtype in DTYPES
    assert read_pages(path, [info.stack.pages[0]])[0].dtype == info.dtype
    np.testing.assert_array_equal(pixels_at(path), pixels)


def test_a_box_is_a_part_of_the_whole(written):
    _, path, pixels = written
    box = Box(7, 11, 23, 40)
    with open_source(path) as source:
        plane = source.plane(read_header(path).stack.pages[0])
        np.testing.assert_array_equal(plane.read(box), pixels[box.slices])


def test_a_plane_that_is_not_there_is_refused(written):
    _, path, _ = written
    assert isinstance(read_pages(path, [10_000])[0], str)


def test_a_truncated_file_is_refused_and_never_read_as_a_smaller_one(written):
    _, path, pixels = written
    data = path.read_bytes()
    passed = []
    for cut in sorted({*np.linspace(0, len(data) - 1, CUTS).astype(int), len(data) - 1}):
        path.write_bytes(data[:cut])
        try:
            found = pixels_at(path)
        except UnreadableImage:
            continue
        np.testing.assert_array_equal(found, pixels)  # only bytes that hold no pixels are missing
        passed.append(cut)
    assert not [cut for cut in passed if cut < len(data) * 0.9]


def test_changed_bytes_are_refused_or_change_values_alone(written):
    _, path, pixels = written
    data = path.read_bytes()
    for place in np.linspace(0, len(data) - 1, FLIPS).astype(int):
        changed = bytearray(data)
        changed[place] ^= 0xFF
        path.write_bytes(changed)
        try:
            found = pixels_at(path)
        except UnreadableImage:
            continue
        assert found.shape == pixels.shape or place < 512, (
            place
        )  # a size in the header has no check of its own


def test_a_damaged_file_beside_others_is_quarantined(written, tmp_path):
    _, path, _ = written
    (tmp_path / f"whole{path.suffix}").write_bytes(path.read_bytes())
    path.write_bytes(path.read_bytes()[:20])
    plate = open_plate(tmp_path)
    assert {record.path: record.status for record in plate.files} == {
        path.name: FileStatus.QUARANTINED,
        f"whole{path.suffix}": FileStatus.USED,
    }
