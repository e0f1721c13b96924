"""All files below the input are listed once, and none outside it."""

import os
from pathlib import Path

import pytest

from nucbatch.core.errors import InputNotFound
from nucbatch.core.plate import FileStatus
from nucbatch.readers.listing import FoundFile, look_up, scan


def write(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")


def settled(listing) -> dict[str, str]:
    return {record.path: f"{record.status.value} {record.reason}" for record in listing.settled}


def test_files_are_sorted_with_size_and_time(tmp_path):
    write(tmp_path, "b.tif", "a/z.tif", "a/b.tif", "B.tif")
    listing = scan(tmp_path)
    assert [file.path for file in listing.files] == ["B.tif", "a/b.tif", "a/z.tif", "b.tif"]
    assert listing.files[0].size_bytes == 1
    assert listing.files[0].mtime_ns == (tmp_path / "B.tif").stat().st_mtime_ns
    assert listing.settled == ()


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        (".DS_Store", "system-file"),
        ("Thumbs.db", "system-file"),
        ("sub/desktop.ini", "system-file"),
        ("._B03.tif", "hidden"),
        (".hidden.tif", "hidden"),
    ],
)
def test_junk_is_ignored_by_a_named_rule(tmp_path, path, rule):
    write(tmp_path, path, "a.tif")
    listing = scan(tmp_path)
    assert [file.path for file in listing.files] == ["a.tif"]
    assert settled(listing)[path].startswith(f"ignored {rule}: ")


def test_skipped_folders_are_one_record_each(tmp_path):
    write(
        tmp_path,
        "__MACOSX/a.tif",
        "x.zarr/0/c",
        ".git/y.tif",
        "out/.nucbatch/ledger",
        "out/labels/a.tif",
        "a.tif",
    )
    listing = scan(tmp_path)
    assert [file.path for file in listing.files] == ["a.tif"]
    assert {path: text.split(":")[0] for path, text in settled(listing).items()} == {
        "__MACOSX/": "ignored system-file",
        "x.zarr/": "ignored zarr-store",
        ".git/": "ignored hidden",
        "out/": "ignored earlier-run",
    }


def test_links_out_are_rejected_and_linked_folders_are_not_followed(tmp_path):
    write(tmp_path, "outside/secret.tif", "in/real/a.tif")
    root = tmp_path / "in"
    (root / "leaves.tif").symlink_to(tmp_path / "outside/secret.tif")
    (root / "leaves").symlink_to(tmp_path / "outside")
    (root / "dangling.tif").symlink_to("nowhere.tif")
    (root / "again").symlink_to("real")
    (root / "loop").symlink_to(".")
    (root / "alias.tif").symlink_to("real/a.tif")
    listing = scan(root)
    assert [file.path for file in listing.files] == ["real/a.tif"]
    said = settled(listing)
    assert said["dangling.tif"].startswith("quarantined a link to nothing")
    assert said["leaves.tif"].startswith("quarantined a link that leads out")
    assert said["leaves"].startswith("quarantined a link that leads out")
    assert said["again"].startswith("ignored linked-folder")
    assert said["loop"].startswith("ignored linked-folder")


def test_a_linked_input_is_read_through_its_link(tmp_path):
    write(tmp_path, "real/a.tif")
    (tmp_path / "link").symlink_to("real")
    listing = scan(tmp_path / "link")
    assert listing.root == str(tmp_path / "real")
    assert listing.name == "link"
    assert [file.path for file in listing.files] == ["a.tif"]


def test_a_folder_named_like_an_image_is_quarantined_but_listed(tmp_path):
    write(tmp_path, "B03.tif/inner.tif")
    listing = scan(tmp_path)
    assert [file.path for file in listing.files] == ["B03.tif/inner.tif"]
    assert settled(listing) == {"B03.tif": "quarantined a folder, though named like an image"}


def test_a_name_that_is_not_utf8_is_quarantined(tmp_path):
    write(tmp_path, "a.tif")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff.tif")).write_bytes(b"x")
    listing = scan(tmp_path)
    assert [file.path for file in listing.files] == ["a.tif"]
    (record,) = listing.settled
    assert record.status is FileStatus.QUARANTINED
    assert record.path == r"b\xff.tif"
    assert record.path.encode()


def test_a_pipe_is_quarantined(tmp_path):
    os.mkfifo(tmp_path / "a.tif")
    assert settled(scan(tmp_path))["a.tif"].startswith("quarantined not a regular file")


def test_a_single_file_is_listed_alone(tmp_path):
    write(tmp_path, "a.tif", "b.tif")
    listing = scan(tmp_path / "a.tif")
    assert listing.single
    assert [file.path for file in listing.files] == ["a.tif"]


def test_a_missing_path_is_an_error(tmp_path):
    with pytest.raises(InputNotFound, match=r"nowhere does not exist: give a folder"):
        scan(tmp_path / "nowhere")


def test_look_up_stays_below_the_root(tmp_path):
    write(tmp_path, "outside.tif", "in/a.tif")
    root = str(tmp_path / "in")
    (tmp_path / "in/link.tif").symlink_to("../outside.tif")
    found = look_up(root, "sub/../a.tif")
    assert isinstance(found, FoundFile)
    assert found.path == "a.tif"
    for path in ("../outside.tif", "link.tif", str(tmp_path / "outside.tif")):
        assert "leads out" in look_up(root, path)
    assert look_up(root, "none.tif") == "no such file"
    assert look_up(root, ".") == "it is not a regular file"


def test_a_link_to_a_listed_file_is_no_file_of_its_own(tmp_path):
    write(tmp_path, "a.tif", "raw/b.tif", ".annex/object")
    (tmp_path / "again.tif").symlink_to("a.tif")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/b.tif").symlink_to("../raw/b.tif")
    (tmp_path / "c.tif").symlink_to(".annex/object")
    (tmp_path / "d.tif").symlink_to(".annex/object")
    listing = scan(tmp_path)
    assert [file.path for file in listing.files] == ["a.tif", "c.tif", "d.tif", "raw/b.tif"]
    assert {path: reason.split(":")[0] for path, reason in settled(listing).items()} == {
        ".annex/": "ignored hidden",
        "again.tif": "ignored linked-file",
        "sub/b.tif": "ignored linked-file",
    }


def test_a_zarr_store_among_many_files_is_one_record(tmp_path):
    """Few entries of a large folder are kept while it is listed; a marker may be among the others."""
    for name in ("store", "plate"):
        (tmp_path / name).mkdir()
        for number in range(1_100):
            (tmp_path / name / f"{number}.tif").touch()
    (tmp_path / "store" / "zarr.json").touch()
    listing = scan(tmp_path)
    assert len(listing.files) == 1_100
    assert {file.path.partition("/")[0] for file in listing.files} == {"plate"}
    assert [record.path for record in listing.settled] == ["store/"]
