"""A plate whose folder was renamed or moved is still the plate that a run was begun with.

Its name stands in every table, so the run keeps the one that it began with. That it is the same plate is told
by its files: relative names, sizes and times of change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from nucbatch.core.plate import Plate
from nucbatch.planning.plan import Plan
from nucbatch.store.folder import RunFolder
from nucbatch.store.ledger import plate_digest, read_header
from nucbatch.store.receipt import Receipt, field_digest


def about(plate: Plate) -> dict[str, str]:
    """What a ledger's first line says of a plate, to know it again under another name."""
    digest = hashlib.sha256()
    for field in plate.fields:
        digest.update(field_digest(field).encode())
    return {"plate": plate.name, "fields_sha256": digest.hexdigest()}


def as_begun(plan: Plan, folder: RunFolder, receipts: Mapping[str, Receipt]) -> tuple[Plan, str]:
    """The plan under the name that the run in a folder was begun with, and a sentence where that is another.

    The plan as it is, where the files are others; opening the ledger then refuses it.
    """
    header = read_header(folder)
    name = header.get("plate", plan.plate.name)
    if name == plan.plate.name:
        return plan, ""
    known = replace(plan.plate, name=name)
    same_files = header.get("fields_sha256") == about(known)["fields_sha256"] or _mostly_done(plan, receipts)
    if header.get("plate_sha256") != plate_digest(known) or not same_files:
        return plan, ""
    return replace(plan, plate=known), (
        f"{plan.plate.name} has the files of {name}, with which this run was begun: it goes on, and is "
        f"called {name} in the tables."
    )


def _mostly_done(plan: Plan, receipts: Mapping[str, Receipt]) -> bool:
    """Whether at least half of the fields that are done were made of just these files."""
    done = [receipt for receipt in receipts.values() if receipt.status == "done"]
    sources = {field.key: field for field in plan.usable}
    same = sum(one.field in sources and field_digest(sources[one.field]) == one.source for one in done)
    return bool(done) and 2 * same >= len(done)
