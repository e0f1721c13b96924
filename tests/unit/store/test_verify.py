"""Receipts are held against what is on the disk."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nucbatch.errors import StoreError
from nucbatch.plate import Channel, Field, Plate
from nucbatch.store.chunks import chunk_px
from nucbatch.store.digest import joined_digest, labels_digest, part_digest
from nucbatch.store.folder import RunFolder
from nucbatch.store.images import create_images, write_field
from nucbatch.store.ledger import Receipt
from nucbatch.store.tables import identity_columns, write_fragment
from nucbatch.store.verify import fragment_holds, group_is_whole, labels_hold

FIELD = Field("B03", 1, 0, "B/3/1", "x", (), 30, 40, "uint8")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path)
    folder.create()
    return folder


def _commit(folder: RunFolder, labels: np.ndarray) -> Receipt:
    channels = (Channel("DAPI", 0),)
    store = create_images(folder, Plate("P", "/", "x", channels, (FIELD,), ()))
    write_field(store, FIELD, channels, np.ones((1, 30, 40), np.uint8), labels, pixel_size_um=None)
    path = folder.fragment(FIELD.key)
    nuclei = int(labels.max())
    digest = write_fragment(path, identity_columns("P", FIELD, nuclei))
    below = path.relative_to(folder.path).as_posix()
    return Receipt(FIELD.key, "done", "", nuclei, labels_digest(labels), below, digest, {}, {}, "w")


@pytest.mark.parametrize("value", [0, 1])
def test_what_was_committed_holds_even_with_no_nucleus(folder: RunFolder, value: int) -> None:
    receipt = _commit(folder, np.full((30, 40), value, np.uint32))
    assert fragment_holds(folder, receipt)
    assert labels_hold(folder, receipt)


def test_a_failed_field_is_never_taken_for_done(folder: RunFolder) -> None:
    receipt = replace(_commit(folder, np.ones((30, 40), np.uint32)), status="failed")
    assert not fragment_holds(folder, receipt)
    assert not labels_hold(folder, receipt)


def test_a_missing_or_changed_fragment_does_not_hold(folder: RunFolder) -> None:
    receipt = _commit(folder, np.ones((30, 40), np.uint32))
    path = folder.fragment(FIELD.key)
    path.write_bytes(path.read_bytes() + b"x")
    assert not fragment_holds(folder, receipt)
    path.unlink()
    assert not fragment_holds(folder, receipt)


def test_a_lost_or_damaged_chunk_does_not_hold(folder: RunFolder) -> None:
    receipt = _commit(folder, np.ones((30, 40), np.uint32))
    chunk = folder.plate_zarr / "B/3/1/labels/nuclei/0/c.0.0"
    chunk.write_bytes(chunk.read_bytes()[:-3])
    assert not labels_hold(folder, receipt)
    chunk.write_bytes(b"")
    assert not labels_hold(folder, receipt)
    chunk.unlink()
    assert not labels_hold(folder, receipt)
    assert fragment_holds(folder, receipt)


def test_a_lost_array_does_not_hold(folder: RunFolder) -> None:
    receipt = _commit(folder, np.ones((30, 40), np.uint32))
    (folder.plate_zarr / "B/3/1/labels/nuclei/0/zarr.json").unlink()
    assert not labels_hold(folder, receipt)


@pytest.mark.parametrize("lost", ["B/3/1", "B/3/1/labels/nuclei", "B"])
def test_a_field_whose_group_was_deleted_is_not_whole(folder: RunFolder, lost: str) -> None:
    _commit(folder, np.ones((30, 40), np.uint32))
    assert group_is_whole(folder.plate_zarr, FIELD.group)
    shutil.rmtree(folder.plate_zarr / lost)
    assert not group_is_whole(folder.plate_zarr, FIELD.group)


def test_a_receipt_cannot_point_outside_the_folder(folder: RunFolder) -> None:
    receipt = replace(_commit(folder, np.ones((30, 40), np.uint32)), fragment="../../etc/passwd")
    with pytest.raises(StoreError, match="can't name anything"):
        fragment_holds(folder, receipt)


def test_the_digest_tells_places_and_numbers_apart_and_nothing_else() -> None:
    labels = np.zeros((3, 3), np.uint32)
    labels[1, 2] = 1
    others = [labels.T, labels * 2, labels[:2], np.zeros((3, 3), np.uint32)]
    assert len({labels_digest(other) for other in [labels, *others]}) == 5
    assert labels_digest(labels) == labels_digest(np.asfortranarray(labels).astype(">u2"))


def test_digests_of_parts_add_up_in_any_order() -> None:
    labels = np.random.default_rng(2).integers(0, 3, (2300, 1500)).astype(np.uint32)
    labels[:768, 752:] = 0
    chunks = chunk_px(2300), chunk_px(1500)
    total = ""
    for top, left in ((768, 0), (0, 752), (0, 0), (1536, 752), (768, 752), (1536, 0)):
        part = labels[top : top + chunks[0], left : left + chunks[1]]
        total = joined_digest(total, part_digest(part, (top, left), chunks))
    assert total == labels_digest(labels)
