"""A run's folder: layout, checks and clearing."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from nucbatch.core.errors import StoreError
from nucbatch.core.plate import Channel, Field, Plate
from nucbatch.store.clear_run import clear_run
from nucbatch.store.images import create_images, write_field
from nucbatch.store.label_tiff import write_label_tiff
from nucbatch.store.run_folder import RunFolder, inside
from nucbatch.store.sheets import write_run


def _files(path: Path) -> list[str]:
    return sorted(found.relative_to(path).as_posix() for found in path.rglob("*") if found.is_file())


def test_a_new_folder_becomes_a_run_and_can_be_reopened(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "a" / "out")
    assert not folder.is_run()
    folder.create()
    folder.create()
    assert folder.is_run()
    assert folder.fragments.is_dir()
    assert folder.logs.is_dir()


def test_a_folder_with_other_files_is_rejected_and_unchanged(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("years of work")
    with pytest.raises(StoreError, match=r"holds thesis\.docx\. Choose an empty or a new folder with -o"):
        RunFolder(tmp_path).create()
    assert _files(tmp_path) == ["thesis.docx"]


def test_a_file_instead_of_a_folder_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(StoreError, match="out is a file"):
        RunFolder(tmp_path / "out").create()


def test_a_run_with_extra_files_can_be_reopened(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.create()
    (tmp_path / "notes.txt").write_text("x")
    folder.create()


def test_an_interrupted_creation_can_be_repeated(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.hidden.mkdir()
    folder.create()
    assert folder.is_run()


def test_another_format_is_rejected(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.create()
    (folder.hidden / "format").write_text("1\n")
    with pytest.raises(StoreError, match=r"format 1.*reads format 3"):
        folder.create()


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../b", "a//b", "", ".", "a\x00b", "a b", "a\\b"])
def test_names_outside_the_folder_are_rejected(name: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not a valid name"):
        inside(tmp_path, name)
    with pytest.raises(StoreError, match="is not a valid name"):
        RunFolder(tmp_path).fragment(name)


def test_fragments_and_label_tiffs_keep_dots_in_their_names(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.fragment("B/3/1") == tmp_path / ".nucbatch" / "fragments" / "B" / "3" / "1.parquet"
    assert folder.label_tiff("a.b") == tmp_path / "labels" / "a.b.tif"


def test_clearing_requires_a_run(tmp_path: Path) -> None:
    (tmp_path / "nuclei.parquet").write_text("not a run")
    with pytest.raises(StoreError, match=r"no run of nucbatch.*nothing in it was removed"):
        clear_run(RunFolder(tmp_path))
    assert _files(tmp_path) == ["nuclei.parquet"]


@pytest.mark.parametrize("is_plate", [True, False])
def test_clearing_removes_everything_a_run_writes(is_plate: bool, tmp_path: Path) -> None:
    folder = _run(tmp_path, is_plate)
    clear_run(folder)
    assert _files(tmp_path) == [".nucbatch/format", ".nucbatch/lock"]
    assert not folder.store(is_plate).exists()
    assert folder.is_run()


def test_a_run_that_is_made_anew_keeps_probabilities_and_the_experiment(tmp_path: Path) -> None:
    folder = _run(tmp_path, is_plate=True)
    kept = folder.kept_maps("B/3/1")
    kept.parent.mkdir(parents=True)
    for path in (kept, folder.metadata, folder.run_json):
        path.write_text("x")
    clear_run(folder, keep_maps=True)
    names = [
        ".nucbatch/format",
        ".nucbatch/lock",
        ".nucbatch/metadata.csv",
        ".nucbatch/probabilities/B/3/1.maps",
    ]
    assert _files(tmp_path) == [*names, "run.json"]
    clear_run(folder)
    assert _files(tmp_path) == names[:2]


@pytest.mark.parametrize("is_plate", [True, False])
def test_clearing_keeps_the_users_files(is_plate: bool, tmp_path: Path) -> None:
    folder = _run(tmp_path, is_plate)
    group = folder.store(is_plate) / _field(is_plate).group
    zarr.create_array(store=group / "labels" / "by_hand" / "0", data=np.ones((4, 4), np.uint8))
    (tmp_path / "notes.txt").write_text("x")
    tifffile.imwrite(tmp_path / "labels" / "mine.tif", np.zeros((3, 3), np.uint8))
    (tmp_path / "labels" / "no.tif").write_text("no TIFF at all")
    (group / "todo.md").write_text("x")
    outside = tmp_path.parent / f"{tmp_path.name}_outside.tif"
    write_label_tiff(outside, np.zeros((3, 3), np.uint32))
    (tmp_path / "labels" / "link.tif").symlink_to(outside)
    clear_run(folder)
    below = group.relative_to(tmp_path).as_posix()
    assert _files(tmp_path) == sorted(
        [
            ".nucbatch/format",
            ".nucbatch/lock",
            "labels/link.tif",
            "labels/mine.tif",
            "labels/no.tif",
            "notes.txt",
            f"{below}/labels/by_hand/0/c/0/0",
            f"{below}/labels/by_hand/0/zarr.json",
            f"{below}/todo.md",
        ]
    )
    assert outside.is_file()


def _field(is_plate: bool) -> Field:
    return Field("B03" if is_plate else "", 1, 0, "B/3/1" if is_plate else "labels", "x", (), 20, 30, "uint8")


def _run(path: Path, is_plate: bool) -> RunFolder:
    folder, field = RunFolder(path), _field(is_plate)
    folder.create()
    channels = (Channel("DAPI", 0),)
    store = create_images(folder, Plate("P", "/", "x", channels, (field,), (), is_plate=is_plate))
    labels = np.ones((20, 30), np.uint32)
    write_field(store, field, channels, np.ones((1, 20, 30), np.uint8), labels)
    write_label_tiff(folder.label_tiff(field.name), labels)
    write_run(folder.run_json, {})
    for file in (folder.nuclei, folder.fields, folder.wells, folder.files, folder.report, folder.ledger):
        file.write_text("x")
    folder.lock.write_text("")
    (folder.fragments / "x.parquet").write_text("x")
    (folder.logs / "worker.log").write_text("x")
    (path / ".nuclei.parquet.77.partial").write_text("x")
    return folder
