"""Damages files of a run of every kind: empties, truncates or removes them, or fills them with zeros."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from nucbatch.store.run_folder import RunFolder


class Damaged(Protocol):
    """A run whose driver was killed; ``damaged`` are the keys of fields that damage has hit."""

    folder: RunFolder
    chance: random.Random
    damaged: set[str]


FILES: dict[str, Callable[[RunFolder], list[Path]]] = {
    "a chunk of an image": lambda run: _below(run.plate_zarr, "*/*/*/0/c.*"),
    "a chunk of an image's pyramid": lambda run: _below(run.plate_zarr, "*/*/*/1/c.*"),
    "a label chunk": lambda run: _below(run.plate_zarr, "*/*/*/labels/nuclei/0/c.*"),
    "a chunk of a label pyramid": lambda run: _below(run.plate_zarr, "*/*/*/labels/nuclei/1/c.*"),
    "an array's zarr.json": lambda run: _below(run.plate_zarr, "*/*/*/**/[01]/zarr.json"),
    "an image's zarr.json": lambda run: _below(run.plate_zarr, "*/*/*/zarr.json"),
    "a label group's zarr.json": lambda run: _below(run.plate_zarr, "*/*/*/labels/**/nuclei/zarr.json"),
    "the zarr.json of plate, row or well": lambda run: [
        *_below(run.plate_zarr, "zarr.json"),
        *_below(run.plate_zarr, "*/zarr.json"),
        *_below(run.plate_zarr, "*/*/zarr.json"),
    ],
    "a label TIFF": lambda run: _below(run.labels, "*.tif"),
    "a table fragment": lambda run: _below(run.fragments, "**/*.parquet"),
    "the format, the plate or the lock": lambda run: [
        path for path in run.hidden.iterdir() if path.name in ("format", "plate.json", "lock", "lock.holder")
    ],
}


def damage(files: Callable[[RunFolder], list[Path]]) -> Callable[[Damaged], None]:
    """Damages one of several files in a random way."""

    def do(run: Damaged) -> None:
        victim = run.chance.choice(files(run.folder))
        run.chance.choice(_WAYS)(victim)
        run.damaged |= _field_of(run.folder, victim)

    return do


def zero_a_page_of_the_ledger(run: Damaged) -> None:
    """Writes 4 KiB of zeros at a random place in the ledger, possibly over its first line."""
    content = bytearray(run.folder.ledger.read_bytes())
    begin = run.chance.randrange(0, len(content), 4096)
    length = min(4096, len(content) - begin)
    content[begin : begin + length] = bytes(length)
    run.folder.ledger.write_bytes(content)


def remove_the_ledger(run: Damaged) -> None:
    """Removes the ledger, as a user might by mistake."""
    run.folder.ledger.unlink()


def _below(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))


def _field_of(run: RunFolder, victim: Path) -> set[str]:
    """The key of the field that a file belongs to; none for a file of the whole run."""
    if victim.is_relative_to(run.labels):
        return {
            f"{row}/{int(column)}/{int(site)}"
            for row, column, site in re.findall(r"_([A-Z]+)(\d+)_s(\d+)", victim.stem)
        }
    if victim.is_relative_to(run.fragments):
        return {victim.relative_to(run.fragments).with_suffix("").as_posix()}
    parts = victim.relative_to(run.path).parts
    return {"/".join(parts[1:4])} if parts[0] == run.plate_zarr.name and len(parts) > 4 else set()


_WAYS: tuple[Callable[[Path], object], ...] = (
    Path.unlink,
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    lambda path: path.write_bytes(bytes(path.stat().st_size)),
)
