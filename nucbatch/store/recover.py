"""A ledger that is damaged or gone is made again: from its sound lines, and from the table fragments.

Each fragment holds its field's receipt. Such a receipt counts if it is of this very input, settings and
nucbatch, and the first check of the resumed run reads every file that it names. Fields that had failed are
not in any fragment; they are tried again, as ever.
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
from nucbatch.store.folder import RunFolder
from nucbatch.store.receipt import Receipt, line_of, receipt_in, receipt_of, sound
from nucbatch.store.stamps import stamp_of
from nucbatch.store.tables import read_note

_THREADS = 8
_AT_ONCE = 1024


def recover(
    folder: RunFolder, header: Callable[[], dict[str, Any]], fields: Iterable[tuple[Field, str]]
) -> str:
    """Makes the ledger again where it is damaged or gone. For the driver that holds the run's lock.

    Args:
        header: gives the first line, where it has to be made anew.
        fields: those of the plan, each with what it is made of (:func:`nucbatch.store.receipt.made_of`).

    Returns:
        A sentence that says what was done; empty where nothing is wrong.

    Raises:
        SettingsConflict: the first line is gone, and there are fragments, but all are of something else.
        StoreError: the ledger can't be written.
    """
    has_header, damaged = _look(folder.ledger)
    fragments = next(folder.fragments.rglob("*.parquet"), None) is not None
    if has_header and not damaged:
        return ""
    if not has_header and not fragments:
        folder.ledger.unlink(missing_ok=True)  # nothing was committed that could be found again
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
                f"{folder.path} has table fragments but no ledger, and none of them was made of this input "
                "with these settings by this nucbatch. Give the command that they were made with, or begin "
                "anew with --restart, or name another folder with -o."
            )
    what = f"was damaged in {damaged:,} line{'s' * (damaged != 1)}" if has_header else "was damaged or gone"
    return (
        f"The run's ledger {what}. It was made again: {found:,} field{'s' * (found != 1)} found by their "
        "table fragments."
    )


def _look(ledger: Path) -> tuple[bool, int]:
    """Whether a ledger has its first line, and how many of the others are damaged."""
    if not ledger.exists():
        return False, 0
    has_header, damaged = False, 0
    with ledger.open("rb") as file:
        for number, line in enumerate(file):
            if line.endswith(b"\n"):  # else it was cut short, and is dropped
                is_sound = sound(line) is not None
                has_header |= number == 0 and is_sound
                damaged += not is_sound
    return has_header, damaged


def _sound_lines(ledger: Path) -> Iterator[bytes]:
    with ledger.open("rb") as file:
        yield from (line for line in file if sound(line) is not None)


def _noted(folder: RunFolder, fields: Iterator[tuple[Field, str]]) -> Iterator[Receipt]:
    """Receipts out of the fragments of fields, in their order."""

    def receipt(one: tuple[Field, str]) -> Receipt | None:
        field, made_of = one
        path = folder.fragment(field.key)
        held = receipt_in(read_note(path), made_of)
        if held is None or held.field != field.key:
            return None
        try:
            return held.with_table(stamp_of(path)[0], committed_ns=0)  # 0: every file is newer, and is read
        except OSError:
            return None

    with ThreadPoolExecutor(_THREADS) as pool:
        while bundle := list(islice(fields, _AT_ONCE)):
            yield from (held for held in pool.map(receipt, bundle) if held is not None)
