"""Whether what an image left is still as its receipt says: asked of every field that a resumed run skips."""

from __future__ import annotations

import json

from nucbatch.core.plate import Field
from nucbatch.store.folder import RunFolder, inside
from nucbatch.store.receipt import Receipt, sound
from nucbatch.store.stamps import TABLE, Places, Stamps
from nucbatch.store.tables import read_note


def places_of(folder: RunFolder, is_plate: bool, field: Field) -> Places:
    """Where the files of a field lie."""
    return Places(
        inside(folder.store(is_plate), field.group),
        folder.label_tiff(field.name),
        folder.fragment(field.key),
    )


def files_of(places: Places, receipt: Receipt) -> Stamps | None:
    """Every file that a receipt stands for; None where the list is damaged.

    That of an image of many files is in its table fragment, which is the only one that its receipt names.
    """
    if receipt.names != TABLE:
        return receipt.files
    note = sound(read_note(places.table))
    if note is None:
        return None
    held = json.loads(note)["receipt"]
    return Stamps(held["names"], held["stamps"])


def wrong_files(places: Places, receipt: Receipt, *, verify: bool = False) -> dict[str, str]:
    """What is wrong with the files of a done field, by their names; nothing if all is as it was written.

    ``verify``: read every file, not only those that were changed since.
    """
    wrong = places.wrong(receipt.files, receipt.committed_ns, verify=verify)
    if wrong or receipt.names != TABLE:
        return wrong
    files = files_of(places, receipt)
    if files is None:
        return {TABLE: "its list of files is damaged"}
    return places.wrong(files, receipt.committed_ns, verify=verify)
