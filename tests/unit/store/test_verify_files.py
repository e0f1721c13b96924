"""Receipts are verified against the files on disk."""

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from nucbatch.core.plate import Channel, Field, Plate
from nucbatch.store.chunks import chunk_px
from nucbatch.store.digest import joined_digest, labels_digest, part_digest
from nucbatch.store.fragments import write_fragment
from nucbatch.store.images import create_images, write_field
from nucbatch.store.label_tiff import write_label_tiff
from nucbatch.store.receipt import Receipt, fragment_note
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.stamps import TABLE, ImagePaths, Stamps, stamp_of
from nucbatch.store.tables import identity_columns
from nucbatch.store.verify_files import file_problems, files_of, places_of

FIELD = Field("B03", 1, 0, "B/3/1", "x", (), 700, 2200, "uint8")
SHAPE = (1, 700, 2200)


def _commit(out: Path, value: int = 1, *, in_table: bool = False) -> tuple[ImagePaths, Receipt, list[Path]]:
    """A committed field: paths, receipt and files; ``in_table`` puts their list into the table."""
    folder, channels = RunFolder(out), (Channel("DAPI", 0),)
    folder.create()
    labels = np.full(SHAPE[1:], value, np.uint32)
    store = create_images(folder, Plate("P", "/", "x", channels, (FIELD,), ()))
    written = write_field(store, FIELD, channels, np.ones(SHAPE, np.uint8), labels)
    places = places_of(folder, True, FIELD)
    write_label_tiff(places.label_tiff, labels)
    written[places.label_tiff] = stamp_of(places.label_tiff)[0]
    files = places.named(written)
    known = Receipt(FIELD.key, "done", "", value, labels_digest(labels), {}, {}, "w")
    known = Receipt(*_values(known), names=files.names, stamps=files.packed)
    write_fragment(places.table, identity_columns("P", FIELD, value), fragment_note(known, "made of"))
    stamp, committed_ns = stamp_of(places.table)
    files = Stamps.of({TABLE: stamp}) if in_table else files.and_one(TABLE, stamp)
    receipt = Receipt(*_values(known), names=files.names, stamps=files.packed, committed_ns=committed_ns)
    return places, receipt, [*written, places.table]


def _values(receipt: Receipt) -> list[object]:
    names = ("field", "status", "reason", "nuclei", "labels_sha256", "qc", "seconds", "worker", "source")
    return [getattr(receipt, name) for name in names]


@pytest.mark.parametrize("in_table", [False, True])
@pytest.mark.parametrize("value", [0, 1])
def test_committed_files_match_their_receipt(tmp_path: Path, value: int, in_table: bool) -> None:
    places, receipt, written = _commit(tmp_path, value, in_table=in_table)
    assert file_problems(places, receipt) == {}
    assert file_problems(places, receipt, verify=True) == {}
    files = files_of(places, receipt)
    assert files is not None
    assert len(dict(files.items())) == len(written) - in_table
    assert len(written) == 19 + 6 * value  # of zeros there are no chunks


def test_a_receipt_lists_every_file_of_the_field(tmp_path: Path) -> None:
    places, receipt, _ = _commit(tmp_path)
    there = {path for path in places.group.rglob("*") if path.is_file()}
    named = {places.path(name) for name, _ in receipt.files.items()}
    assert named == there | {places.label_tiff, places.table}


@pytest.mark.parametrize("in_table", [False, True])
def test_lost_truncated_or_changed_files_are_detected(tmp_path: Path, in_table: bool) -> None:
    places, receipt, written = _commit(tmp_path, in_table=in_table)
    for path in written:
        info, content = path.stat(), path.read_bytes()
        path.unlink()
        assert "is gone" in "".join(file_problems(places, receipt).values())
        for damaged in (b"", content[:-1], content + b"x", bytes(len(content))):
            path.write_bytes(damaged)
            (what,) = file_problems(places, receipt).values()
            assert what, path
        os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))  # as a disk that fails would leave it
        wrong = {path for name in file_problems(places, receipt, verify=True) for path in [places.path(name)]}
        assert wrong == {path}
        path.write_bytes(content)
        assert file_problems(places, receipt) == {}


def test_copied_files_are_read_and_match(tmp_path: Path) -> None:
    _, receipt, _ = _commit(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copyfile)
    moved = places_of(RunFolder(tmp_path / "b"), True, FIELD)
    assert moved.table.stat().st_mtime_ns > receipt.committed_ns
    assert file_problems(moved, receipt) == {}


@pytest.mark.parametrize("lost", ["B/3/1", "B/3/1/labels/nuclei", "B"])
def test_a_deleted_group_is_detected(tmp_path: Path, lost: str) -> None:
    places, receipt, _ = _commit(tmp_path)
    shutil.rmtree(tmp_path / "plate.zarr" / lost)
    assert len(file_problems(places, receipt)) >= 7


def test_the_digest_depends_on_positions_and_labels_only() -> None:
    labels = np.zeros((3, 3), np.uint32)
    labels[1, 2] = 1
    others = [labels.T, labels * 2, labels[:2], np.zeros((3, 3), np.uint32)]
    assert len({labels_digest(other) for other in [labels, *others]}) == 5
    assert labels_digest(labels) == labels_digest(np.asfortranarray(labels).astype(">u2"))


@pytest.mark.parametrize("density", [0.0, 0.001, 0.3, 1.0])
def test_the_digest_is_that_of_the_run_length_encoding(density: float) -> None:
    rng = np.random.default_rng(3)
    labels = np.where(rng.random((37, 53)) < density, rng.integers(0, 5, (37, 53)), 0).astype(np.uint32)
    flat = labels.ravel()
    places = np.flatnonzero(np.diff(flat, prepend=np.uint32(0)))
    runs = np.stack([places, flat[places]], axis=1).astype("<u4")
    digest = hashlib.sha256(b"0 0 (37, 53)" + runs.tobytes()).hexdigest()
    assert labels_digest(labels) == (digest if len(runs) else "0" * 64)


def test_digests_of_parts_add_up_in_any_order() -> None:
    labels = np.random.default_rng(2).integers(0, 3, (2300, 1500)).astype(np.uint32)
    labels[:768, 752:] = 0
    chunks = chunk_px(2300), chunk_px(1500)
    total = ""
    for top, left in ((768, 0), (0, 752), (0, 0), (1536, 752), (768, 752), (1536, 0)):
        part = labels[top : top + chunks[0], left : left + chunks[1]]
        total = joined_digest(total, part_digest(part, (top, left), chunks))
    assert total == labels_digest(labels)
