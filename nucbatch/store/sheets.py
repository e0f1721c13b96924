"""Writes the files of a run that people open by hand: files.csv, wells.csv and run.json.

CSV is UTF-8 with commas, quotes where needed, and one line per row. Text that a spreadsheet would run as a
formula gets a leading apostrophe. This includes text behind a semicolon, a tab or a quote, because many
spreadsheets split cells at semicolons. A line break in a cell becomes a space.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucbatch.core.plate import Field, FileStatus, Plate, absent_text
from nucbatch.store.atomic import replacing, write_text

if TYPE_CHECKING:
    import pandas as pd

FILE_COLUMNS = ("path", "status", "reason", "plate", "well", "site", "channel", "z", "t", "image")
_LINE_ENDS = "\r\n\v\f\x1c-\x1e\x85\u2028\u2029"
_FORMULA = re.compile(
    # At the start of a cell or of a part of it after splitting; the last four are full-width signs.
    rf'((?:^|[;\t{_LINE_ENDS}])[\s"]*|")(?=[=+\-@\uff1d\uff0b\uff0d\uff20])'
)
_BREAK = re.compile(rf"\r\n|[{_LINE_ENDS}]")


FileOutcome = tuple[FileStatus, str]
"""Status of a file, and the reason for it."""


def write_files_csv(
    path: Path, plate: Plate, later: Mapping[str, FileOutcome] | None = None
) -> Counter[FileStatus]:
    """Writes one row per file found, in the plate's order, durably.

    Unknown values are empty. A used file has a reason only if chunks of it are not stored.

    Args:
        path: the file.
        plate: the input.
        later: outcome of used files in the run, by path.

    Returns:
        Number of files per status.

    Raises:
        StoreError: the file cannot be written.
    """
    known = later or {}
    fates: Counter[FileStatus] = Counter()

    def rows() -> Iterator[Sequence[object]]:
        for file in plate.files:
            status, reason = file.status, file.reason
            if status is FileStatus.USED and file.path in known:
                status, reason = known[file.path]
            if status is FileStatus.USED and file.absent_chunks:
                reason = absent_text(file.absent_chunks, file.chunks)
            place = (plate.name, file.well, file.site, file.channel, file.z, file.t, file.group)
            fates[status] += 1
            yield file.path, status.value, reason, *place

    _write_csv(path, FILE_COLUMNS, rows())
    return fates


IMAGE_COLUMNS = (
    "plate", "well", "site", "image", "name", "status", "reason", "t", "channels", "z", "height_px",
    "width_px", "pixel_type", "pixel_size_um", "y_um", "x_um", "acquisition", "absent_planes",
)  # fmt: skip


def write_images_csv(
    path: Path,
    plate: str,
    images: Iterable[tuple[str, Field, str, str, tuple[int, int, int, int, int], int]],
) -> None:
    """Writes one row per image of a conversion, durably.

    Args:
        path: the file.
        plate: name of the plate.
        images: group, a field of the image, status, reason, (T, C, Z, Y, X), and how many planes are absent.

    Raises:
        StoreError: the file cannot be written.
    """
    rows = []
    for group, field, status, reason, (times, channels, depth, height, width), absent in images:
        y_um, x_um = field.position_um or (None, None)
        place = (plate, field.well, field.site, group, field.name, status, reason)
        form = (times, channels, depth, height, width, field.dtype, field.pixel_size_um)
        rows.append((*place, *form, y_um, x_um, field.acquisition, absent))
    _write_csv(path, IMAGE_COLUMNS, rows)


EXPORT_COLUMNS = (
    "plate", "well", "site", "t", "image", "name", "status", "reason", "nuclei", "labels", "outlines",
)  # fmt: skip


def write_export_csv(
    path: Path, plate: str, fields: Iterable[tuple[Field, str, str, int | None, str, str]]
) -> None:
    """Writes one row per field of an export, durably.

    Args:
        path: the file.
        plate: name of the plate.
        fields: field, status, reason, number of nuclei in its masks, and names of its files of masks and of
            outlines.

    Raises:
        StoreError: the file cannot be written.
    """
    _write_csv(
        path,
        EXPORT_COLUMNS,
        ((plate, one.well, one.site, one.t, one.group, one.name, *rest) for one, *rest in fields),
    )


def write_wells(path: Path, wells: pd.DataFrame) -> None:
    """Writes the table of wells, one row per well, durably, without its index; missing values are empty.

    Floats have the fewest digits that read back as the same number.

    Raises:
        StoreError: the file cannot be written.
    """
    floats = wells.select_dtypes("float64")
    columns: dict[object, list[object]] = {
        name: [None if value != value else value for value in values]
        for name, values in zip(floats.columns, floats.to_numpy().T.tolist(), strict=True)
    }
    others = wells[[name for name in wells.columns if name not in columns]]
    # dtype object keeps integers beside missing values integers.
    values = others.astype(object).where(others.notna(), None)
    columns |= {name: values[name].tolist() for name in values.columns}
    rows = zip(*(columns[name] for name in wells.columns), strict=True)
    _write_csv(path, [str(name) for name in wells.columns], rows)


def write_run(path: Path, values: Mapping[str, Any]) -> None:
    """Writes run.json, durably: plain values in the given order, UTF-8, without NaN.

    Raises:
        StoreError: the file cannot be written.
    """
    write_text(path, json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def neutral(cell: object) -> object:
    """Escapes a cell for spreadsheets: text is put on one line, with an apostrophe before any formula."""
    if not isinstance(cell, str):
        return cell
    shown = _FORMULA.sub(r"\1'", cell)
    return _BREAK.sub(" ", f"'{shown}" if shown.startswith(("\t", "\r", "\n")) else shown)


def _write_csv(path: Path, names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(map(neutral, names))
        writer.writerows(map(neutral, row) for row in rows)
