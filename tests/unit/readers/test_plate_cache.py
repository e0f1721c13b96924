import hashlib
import json
import os
import threading
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from nucbatch.core.errors import InputError, UnreadableImage
from nucbatch.core.plate import FileStatus, Plate
from nucbatch.readers.find import open_plate
from nucbatch.readers.formats.headers import read_header
from nucbatch.readers.plate_cache import cache_content, content_to_show, is_cached, load_plate, plate_as_read
from nucbatch.readers.read_timeout import within


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for well in ("A01", "B02"):
        for channel in (1, 2):
            tifffile.imwrite(folder / f"p_{well}_s1_w{channel}.tif", np.zeros((8, 9), np.uint16))
    (folder / "p_A01_s2_w1.tif").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("notes")
    return folder


def kept(plate: Plate, at: Path) -> Path:
    content = cache_content(plate)
    assert content is not None
    at.write_bytes(content)
    return at


def unreadable(folder: Path) -> None:
    """Empties every file but leaves name, size and time as they were: a header that is read again fails."""
    for path in folder.iterdir():
        info = path.stat()
        path.write_bytes(bytes(info.st_size))
        os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def test_a_cached_plate_is_loaded_without_reading_headers(plate: Path, tmp_path: Path) -> None:
    read = open_plate(plate)
    assert {file.status for file in read.files} == set(FileStatus)
    at = kept(read, tmp_path / "plate.json")
    unreadable(plate)
    assert open_plate(plate, remembered=at) == read
    assert open_plate(plate) != read
    assert is_cached(at, read)


def test_the_read_timeout_of_each_opening_holds_also_for_a_cached_plate(plate: Path, tmp_path: Path) -> None:
    read = open_plate(plate, read_timeout_s=7)
    assert read.read_timeout_s == 7
    at = kept(read, tmp_path / "plate.json")
    assert open_plate(plate, remembered=at, read_timeout_s=8).read_timeout_s == 8
    for wrong in (0, float("nan")):
        with pytest.raises(InputError, match="a number of seconds above 0"):
            open_plate(plate, read_timeout_s=wrong)


@pytest.mark.parametrize("change", ["touched", "longer", "one more", "one less", "read otherwise"])
def test_any_change_invalidates_the_cache(plate: Path, tmp_path: Path, change: str) -> None:
    read = open_plate(plate)
    at = kept(read, tmp_path / "plate.json")
    image = plate / "p_A01_s1_w1.tif"
    info = image.stat()
    options = {}
    if change == "touched":
        os.utime(image, ns=(info.st_atime_ns, info.st_mtime_ns + 1))
    elif change == "longer":
        image.write_bytes(image.read_bytes() + b"\0")
        os.utime(image, ns=(info.st_atime_ns, info.st_mtime_ns))
    elif change == "one more":
        (plate / "p_B03_s1_w1.tif").write_bytes(image.read_bytes())
    elif change == "one less":
        image.unlink()
    else:
        options = {"pixel_size_um": 0.5}
    again = open_plate(plate, remembered=at, **options)
    assert again.listed != read.listed
    assert again == open_plate(plate, **options)
    assert not is_cached(at, again)


def test_a_plate_may_be_moved(plate: Path, tmp_path: Path) -> None:
    at = kept(open_plate(plate), tmp_path / "plate.json")
    moved = tmp_path / "elsewhere" / "in"
    moved.parent.mkdir()
    plate.rename(moved)
    assert open_plate(moved, remembered=at) == open_plate(moved)


def test_a_damaged_or_missing_cache_is_ignored(plate: Path, tmp_path: Path) -> None:
    read = open_plate(plate)
    at = kept(read, tmp_path / "plate.json")
    at.write_bytes(at.read_bytes()[:-40])
    assert load_plate(at, read.listed, read.root) is None
    assert open_plate(plate, remembered=at) == read
    assert open_plate(plate, remembered=tmp_path / "missing.json") == read


def test_a_plate_is_read_that_was_kept_record_by_record(plate: Path, tmp_path: Path) -> None:
    """As caches had it before they were written by column; reports of such runs need it."""
    read, at = open_plate(plate), tmp_path / "plate.json"
    _, _, body = cache_content(read).partition(b"\n")
    kept = json.loads(body.partition(b"\n")[0]) | {
        "fields": [astuple(field) for field in read.fields],
        "files": [astuple(file) for file in read.files],
    }
    del kept["byte_order"]
    older = json.dumps(kept).encode()
    at.write_bytes(f"{read.listed} {hashlib.sha256(older).hexdigest()}\n".encode() + older)
    assert load_plate(at, read.listed, read.root) == read
    assert list(map(repr, plate_as_read(at).fields)) == list(map(repr, read.fields))


def test_temporary_problems_are_not_cached(plate: Path, tmp_path: Path) -> None:
    read, answered = open_plate(plate), threading.Event()
    with pytest.raises(UnreadableImage) as closed:
        read_header(tmp_path / "not there")
    with pytest.raises(UnreadableImage) as silent:
        within(0.01, "x.tif", lambda beat: answered.wait())
    answered.set()
    assert cache_content(read) is not None
    for trouble in (closed, silent):
        files = tuple(
            replace(file, reason=str(trouble.value)) if file.status is FileStatus.QUARANTINED else file
            for file in read.files
        )
        assert cache_content(replace(read, files=files)) is None


def test_inputs_with_incomplete_listings_are_not_cached(plate: Path, tmp_path: Path) -> None:
    image = plate / "p_A01_s1_w1.tif"
    single = open_plate(image)
    assert single.listed == ""
    assert cache_content(single) is None


def test_a_plate_that_may_not_be_cached_can_still_be_shown(plate: Path, tmp_path: Path) -> None:
    """A report of a stopped run needs the fields as they were, not the files as they are now."""
    single = open_plate(plate / "p_A01_s1_w1.tif")
    path = tmp_path / "plate.json"
    path.write_bytes(content_to_show(single))
    assert not is_cached(path, single)
    assert load_plate(path, single.listed, "") is None
    shown = plate_as_read(path)
    assert shown is not None
    assert shown.fields == single.fields
    path.write_bytes(path.read_bytes()[:-5])
    assert plate_as_read(path) is None
    assert plate_as_read(tmp_path / "none") is None
