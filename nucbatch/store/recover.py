"""Rebuilds a damaged or missing ledger from its intact lines and from the table fragments.

Each fragment holds its field's receipt. A receipt counts if it was made from the same input, with the same
settings and version. The first check of the resumed run then reads every file that it lists. Failed fields
have no fragment and are tried again, as in any resumed run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from nucbatch.core.errors import SettingsConflict
from nucbatch.core.plate import Field
from nucbatch.store.atomic import replacing
from nucbatch.store.fragments import read_note
from nucbatch.store.receipt import Receipt, checked_json, line_of, receipt_from_note, receipt_of
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.stamps import stamp_of

_THREADS = 8
_AT_ONCE = 1024


def recover(
    folder: RunFolder, header: Callable[[], dict[str, Any]], fields: Iterable[tuple[Field, str]]
) -> str:
    """Rebuilds the ledger if it is damaged or missing. The caller must hold the run lock.

    Args:
        folder: the run's folder.
        header: returns the ledger's first line, called if that has to be rebuilt.
        fields: the plan's fields, each with its :func:`nucbatch.store.receipt.inputs_digest`.

    Returns:
        A sentence for the user about what was rebuilt; empty if the ledger is intact.

    Raises:
        SettingsConflict: the first line is missing and every fragment was made from other inputs.
        StoreError: the ledger cannot be written.
    """
    has_header, damaged = _look(folder.ledger)
    fragments = next(folder.fragments.rglob("*.parquet"), None) is not None
    if has_header and not damaged:
        return ""
    if not has_header and not fragments:
        folder.ledger.unlink(missing_ok=True)  # nothing was committed that could be recovered
        return ""
    found = 0
    with replacing(folder.ledger) as temporary, temporary.open("wb") as file:
        known: set[str] = set()
        if has_header:
            for line in _sound_lines(folder.ledger):
                file.write(line)
                receipt = receipt_of(line)
                known |= set() if receipt is None else {receipt.field}
        else:
            file.write(line_of(header()))
        for receipt in _noted(folder, (one for one in fields if one[0].key not in known)):
            file.write(line_of(asdict(receipt)))
            found += 1
        if not has_header and not found:
            raise SettingsConflict(
                f"{folder.path} has table fragments but no ledger, and none of them was made from this input "
                "with these settings by this version of nucbatch. Repeat the original command, or start over "
                "with --restart, or choose another folder with -o."
            )
    what = f"was damaged in {damaged:,} line{'s' * (damaged != 1)}" if has_header else "was damaged or gone"
    return (
        f"The run's ledger {what}. It was rebuilt: {found:,} field{'s' * (found != 1)} recovered from "
        "table fragments."
    )


def _look(ledger: Path) -> tuple[bool, int]:
    """Returns whether a ledger has its first line, and the number of damaged lines."""
    if not ledger.exists():
        return False, 0
    has_header, damaged = False, 0
    with ledger.open("rb") as file:
        for number, line in enumerate(file):
            if line.endswith(b"\n"):  # a truncated last line is dropped
                is_sound = checked_json(line) is not None
                has_header |= number == 0 and is_sound
                damaged += not is_sound
    return has_header, damaged


def _sound_lines(ledger: Path) -> Iterator[bytes]:
    with ledger.open("rb") as file:
        yield from (line for line in file if checked_json(line) is not None)


def _noted(folder: RunFolder, fields: Iterator[tuple[Field, str]]) -> Iterator[Receipt]:
    """Yields the receipts in the fields' fragments, in the order of the fields."""

    def receipt(one: tuple[Field, str]) -> Receipt | None:
        field, inputs_digest = one
        path = folder.fragment(field.key)
        held = receipt_from_note(read_note(path), inputs_digest)
        if held is None or held.field != field.key:
            return None
        try:
            return held.with_table(stamp_of(path)[0], committed_ns=0)  # 0: read every file
        except OSError:
            return None

    with ThreadPoolExecutor(_THREADS) as pool:
        while bundle := list(islice(fields, _AT_ONCE)):
            yield from (held for held in pool.map(receipt, bundle) if held is not None)
