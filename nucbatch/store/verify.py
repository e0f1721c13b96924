"""Whether a field's outputs are still what its receipt says: what a resumed run asks before it skips a field.

That a chunk exists proves nothing, because Zarr leaves out chunks of zeros. Digests do.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from nucbatch.errors import StoreError
from nucbatch.store import ngff
from nucbatch.store.digest import joined_digest, part_digest
from nucbatch.store.folder import RunFolder, inside
from nucbatch.store.images import open_labels_of
from nucbatch.store.ledger import Receipt
from nucbatch.tiles import Box


def fragment_holds(folder: RunFolder, receipt: Receipt) -> bool:
    """Whether the table fragment of a done field is there, byte for byte. False for a failed field.

    Enough after a process was killed: the pixels were written before the fragment.
    """
    if receipt.status != "done":
        return False
    path = inside(folder.path, receipt.fragment)
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == receipt.fragment_sha256


def group_is_whole(store: Path, group: str) -> bool:
    """Whether a field's image and labels are there, by the attributes that are written after their pixels.

    Tells that a group was deleted, at the price of looking up two files. Damage to the image itself is not
    looked for.
    """
    image = inside(store, group)
    return (image / "zarr.json").is_file() and (image / "labels" / ngff.LABELS_NAME / "zarr.json").is_file()


def labels_hold(folder: RunFolder, receipt: Receipt) -> bool:
    """Whether the full-resolution labels of a done field are there, pixel for pixel.

    Needed after a machine lost power: pixels are not flushed to the disk when they are written.
    """
    if receipt.status != "done":
        return False
    total = joined_digest("", "")
    try:
        labels = open_labels_of(folder, receipt.field)
        height, width = labels.shape
        for top in range(0, height, labels.chunk_px[0]):
            band = labels.read(Box(top, 0, min(top + labels.chunk_px[0], height), width))
            total = joined_digest(total, part_digest(band, (top, 0), labels.chunk_px))
    except StoreError:
        return False
    return total == receipt.labels_sha256
