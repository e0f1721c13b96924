"""Recognises the plate of a started run after its folder was renamed or moved.

The plate is recognised by its files: relative names, sizes and modification times. Its name is in every
table, so a resumed run keeps the name it started with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from nucbatch.core.plate import Plate
from nucbatch.planning.plan import Plan
from nucbatch.store.ledger import plate_digest, read_header
from nucbatch.store.receipt import Receipt, field_digest
from nucbatch.store.run_folder import RunFolder


def about(plate: Plate) -> dict[str, str]:
    """Returns the plate's entries in the ledger's header, which identify it under another name."""
    digest = hashlib.sha256()
    for field in plate.fields:
        digest.update(field_digest(field).encode())
    return {"plate": plate.name, "fields_sha256": digest.hexdigest()}


def as_begun(plan: Plan, folder: RunFolder, receipts: Mapping[str, Receipt]) -> tuple[Plan, str]:
    """Returns the plan with the plate's name at the run's start, and a message if the name has changed.

    If the files differ, the plan is returned unchanged; opening the ledger then refuses it.
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
        f"{plan.plate.name} has the files of {name}, with which this run was started: the run continues, "
        f"and the tables use the name {name}."
    )


def _mostly_done(plan: Plan, receipts: Mapping[str, Receipt]) -> bool:
    """Tells whether at least half of the done fields were made from these files."""
    done = [receipt for receipt in receipts.values() if receipt.status == "done"]
    sources = {field.key: field for field in plan.usable}
    same = sum(one.field in sources and field_digest(sources[one.field]) == one.source for one in done)
    return bool(done) and 2 * same >= len(done)
