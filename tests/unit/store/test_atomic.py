"""Atomic file writing."""

import os
from pathlib import Path
from uuid import uuid4

import pytest

from nucbatch.core.errors import StoreError
from nucbatch.store import atomic
from nucbatch.store.atomic import (
    append_durably,
    flush_all,
    remove_partials,
    replacing,
    write_bytes,
    write_text,
)


def test_a_file_is_written_and_replaced_without_leftovers(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "µ one")
    write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError):
        _stop_half_way(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def _stop_half_way(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError


def test_a_missing_folder_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"No such file or directory.*run the same command again"):
        write_text(tmp_path / "no" / "a.txt", "x")


def test_only_temporary_files_of_killed_writers_are_removed(tmp_path: Path) -> None:
    (tmp_path / "c" / "0").mkdir(parents=True)
    ours, zarrs = f".a.{uuid4().hex}.partial", f"c/0/0.{uuid4().hex}.partial"
    for name in (ours, zarrs, "c/0/0", "a", "download.partial"):
        (tmp_path / name).write_text("x")
    assert remove_partials(tmp_path) == 2
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "0",
        "a",
        "download.partial",
    ]


def test_a_failed_append_that_cannot_be_undone_is_a_store_error(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    path.write_bytes(b"line\n")
    descriptor = os.open(path, os.O_RDONLY)  # neither write nor ftruncate is allowed, as after an EIO
    try:
        with pytest.raises(StoreError, match=r"a partial line can't be removed .*repeat the command"):
            append_durably(descriptor, path, b"another\n")
    finally:
        os.close(descriptor)


def test_files_are_flushed_with_or_without_syncfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a" / "b"
    path.parent.mkdir()
    write_bytes(path, b"x", durable=False)
    flush_all([path])
    flush_all([])
    monkeypatch.setattr(atomic, "_syncfs", lambda: None)
    flush_all([path])
    with pytest.raises(OSError, match="gone"):
        flush_all([path.with_name("gone")])
