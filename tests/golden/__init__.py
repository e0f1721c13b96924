"""Golden trees: small plates with the names and side files that each microscope writes.

One module for each layout, with a tuple ``TREES``. Nothing else has to be registered:

- ``tests/contracts/test_golden_trees.py`` opens each tree without options, compares the plate with
  ``expected``, and opens random subsets of its files: no plane may change its well.
- ``tests/write_layouts.py`` writes one row of the documentation's table for each tree.

A module imports from here: ``from golden import Expected, GoldenTree, write_images``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from itertools import product
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import numpy as np
import tifffile

from nucbatch.core.plate import FileStatus, Plate
from nucbatch.readers.find import open_plate


@dataclass(frozen=True)
class Expected:
    """What opening a tree gives.

    Attributes:
        layout: name of the reader.
        evidence: ``Plate.evidence``: ``"side file"``, ``"names"`` or empty.
        wells: names of all wells, in order.
        fields: number of usable fields (well, site and time point).
        channels: names, in order.
        z: largest number of z-steps of a channel.
        t: number of time points.
        pixel_size_um: size shared by all usable fields, rounded to 4 decimals; None if unknown.
        positions: number of usable fields with a position.
        gaps: number of fields that are listed but can't be used.
        files: numbers of files (used, ignored, quarantined).
    """

    layout: str
    evidence: str
    wells: tuple[str, ...]
    fields: int
    channels: tuple[str, ...]
    z: int = 1
    t: int = 1
    pixel_size_um: float | None = None
    positions: int = 0
    gaps: int = 0
    files: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True)
class GoldenTree:
    """A tree of files and the plate that it holds.

    Attributes:
        name: unique name, such as ``"Harmony V5"``, shown in the documentation's table.
        source: what names and side files follow: ``"real file"`` (seen in a real file), ``"specification"``
            (a published format), or ``"quoted"`` (public code or manuals).
        build: writes the files into an empty folder and returns the path that a user gives.
        expected: what opening that path gives.
        options: keyword arguments of ``open_plate`` that the tree needs.
        root: folder for ``--root``, relative to the tree; empty for none.
    """

    name: str
    source: str
    build: Callable[[Path], Path]
    expected: Expected
    options: Mapping[str, Any] = field(default_factory=dict)
    root: str = ""

    def open(self, folder: Path, given: Path) -> Plate:
        """Opens the tree that was built in ``folder``; ``given`` is the path that ``build`` returned."""
        options = dict(self.options) | ({"root": folder / self.root} if self.root else {})
        return open_plate(given, **options)


def all_trees() -> tuple[GoldenTree, ...]:
    """Returns the trees of all modules in this folder, by name."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    trees = [tree for module in modules for tree in module.TREES]
    return tuple(sorted(trees, key=lambda tree: tree.name.casefold()))


def summary(plate: Plate) -> Expected:
    """Returns what :class:`Expected` describes, for a plate that was opened."""
    usable = [one for one in plate.fields if not one.problem]
    sizes = {None if one.pixel_size_um is None else round(one.pixel_size_um, 4) for one in usable}
    status = Counter(record.status for record in plate.files)
    return Expected(
        layout=plate.layout,
        evidence=plate.evidence,
        wells=tuple(well for well in plate.wells() if well),
        fields=len(usable),
        channels=tuple(channel.name for channel in plate.channels),
        z=max((one.z_steps for one in usable), default=1),
        t=len({one.t for one in plate.fields}),
        pixel_size_um=sizes.pop() if len(sizes) == 1 else None,
        positions=sum(one.position_um is not None for one in usable),
        gaps=len(plate.fields) - len(usable),
        files=(status[FileStatus.USED], status[FileStatus.IGNORED], status[FileStatus.QUARANTINED]),
    )


def every(template: str, **values: Iterable[object]) -> Iterator[str]:
    """Yields the template filled with every combination of the values.

    >>> list(every("{w}f0{f}.tif", w=("A01", "A02"), f=(0, 1)))
    ['A01f00.tif', 'A01f01.tif', 'A02f00.tif', 'A02f01.tif']
    """
    for combination in product(*values.values()):
        yield template.format(**dict(zip(values, combination, strict=True)))


def write_images(
    folder: Path, paths: Iterable[str], shape: tuple[int, int] = (16, 16), dtype: str = "uint16"
) -> None:
    """Writes a small grey TIFF at each path below the folder; each holds another value."""
    for value, path in enumerate(paths, start=1):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / path, np.full(shape, value % 251, dtype))


def fates(plate: Plate) -> dict[str, str]:
    """Returns the status of each file, followed by its reason if it has one, by path."""
    return {record.path: f"{record.status.value} {record.reason}".strip() for record in plate.files}


def quarantined(plate: Plate) -> dict[str, str]:
    """Returns the reason of each quarantined file, by path."""
    return {record.path: record.reason for record in plate.files if record.status is FileStatus.QUARANTINED}


def ignored(plate: Plate) -> dict[str, str]:
    """Returns the rule that each ignored file falls under, by path."""
    records = (record for record in plate.files if record.status is FileStatus.IGNORED)
    return {record.path: record.reason.partition(":")[0] for record in records}


def fields(plate: Plate) -> dict[tuple[str, int, int], str]:
    """Returns the problem of each field by (well, site, time point): empty if it can be used."""
    return {(one.well, one.site, one.t): one.problem for one in plate.fields}


def problems(plate: Plate) -> dict[tuple[str, int, int], str]:
    """Returns the problem of each field that can't be used, by (well, site, time point)."""
    return {key: problem for key, problem in fields(plate).items() if problem}
