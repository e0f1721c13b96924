"""Verifies that a field's files still match its receipt; done for every field that a resumed run skips."""

from __future__ import annotations

import json

from nucbatch.core.plate import Field
from nucbatch.store.fragments import read_note
from nucbatch.store.receipt import Receipt, checked_json
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.stamps import TABLE, ImagePaths, Stamps


def places_of(folder: RunFolder, is_plate: bool, field: Field) -> ImagePaths:
    """Returns the paths of a field's files."""
    return ImagePaths(
        folder.image_group(is_plate, field),
        folder.label_tiff(field.name),
        folder.fragment(field.key),
    )


def files_of(places: ImagePaths, receipt: Receipt) -> Stamps | None:
    """Returns the stamps of every file of a receipt; None if the list is damaged.

    An image of many files keeps its list in the table fragment, the only file that its receipt names.
    """
    if receipt.names != TABLE:
        return receipt.files
    note = checked_json(read_note(places.table))
    if note is None:
        return None
    held = json.loads(note)["receipt"]
    return Stamps(held["names"], held["stamps"])


def file_problems(places: ImagePaths, receipt: Receipt, *, verify: bool = False) -> dict[str, str]:
    """Checks the files of a done field.

    Args:
        places: paths of the field's files.
        receipt: the field's receipt.
        verify: read every file, not only those modified since the commit.

    Returns:
        The problem of each file that does not match, by name; empty if all match.
    """
    wrong = places.problems(receipt.files, receipt.committed_ns, verify=verify)
    if wrong or receipt.names != TABLE:
        return wrong
    files = files_of(places, receipt)
    if files is None:
        return {TABLE: "its list of files is damaged"}
    return places.problems(files, receipt.committed_ns, verify=verify)
