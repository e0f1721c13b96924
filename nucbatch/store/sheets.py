"""The files of a run that people open by hand: files.csv, wells.csv and run.json.

CSV as spreadsheets and line tools read it: UTF-8, commas, quotes where needed, one line per row. Text that a
spreadsheet would run as a formula gets an apostrophe in front, and a line break in a cell becomes a space.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucbatch.plate import FileStatus, Plate, absent_text
from nucbatch.store.atomic import replacing, write_text

if TYPE_CHECKING:
    import pandas as pd

FILE_COLUMNS = ("path", "status", "reason", "plate", "well", "site", "channel", "z", "t", "image")
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # the last four are wide forms, which run as well
_BREAK = re.compile(r"\r\n|[\r\n]")


Fate = tuple[FileStatus, str]
"""A file's status, and the reason for it."""


def write_files_csv(path: Path, plate: Plate, later: Mapping[str, Fate] | None = None) -> Counter[FileStatus]:
    """Writes one row per file found, in the plate's order, durably, and returns how many met each fate.

    Unknown values are empty. A used file has a reason only where chunks of it are not stored.

    Args:
        later: what became, by path, of used files in the run.

    Raises:
        StoreError: the file can't be written.
    """
    known = later or {}
    rows = []
    fates: Counter[FileStatus] = Counter()
    for file in plate.files:
        status, reason = file.status, file.reason
        if status is FileStatus.USED and file.path in known:
            status, reason = known[file.path]
        if status is FileStatus.USED and file.absent_chunks:
            reason = absent_text(file.absent_chunks, file.chunks)
        place = (plate.name, file.well, file.site, file.channel, file.z, file.t, file.group)
        rows.append((file.path, status.value, reason, *place))
        fates[status] += 1
    _write_csv(path, FILE_COLUMNS, rows)
    return fates


def write_wells(path: Path, wells: pd.DataFrame) -> None:
    """Writes the table of wells, one row per well, durably; its index is left out, missing values are empty.

    Floats are written in the fewest digits that read back as the same number.

    Raises:
        StoreError: the file can't be written.
    """
    # As objects, so that whole numbers beside missing ones stay whole.
    values = wells.astype(object).where(wells.notna(), None)
    _write_csv(path, [str(name) for name in wells.columns], values.itertuples(index=False, name=None))


def write_run(path: Path, values: Mapping[str, Any]) -> None:
    """Writes run.json, durably: plain values, in the order given, UTF-8, without NaN.

    Raises:
        StoreError: the file can't be written.
    """
    write_text(path, json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def neutral(cell: object) -> object:
    """The cell; if it is text, on one line, and after an apostrophe if a spreadsheet would run it."""
    if not isinstance(cell, str):
        return cell
    return _BREAK.sub(" ", f"'{cell}" if cell.startswith(_FORMULA) else cell)


def _write_csv(path: Path, names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(map(neutral, names))
        writer.writerows(map(neutral, row) for row in rows)
