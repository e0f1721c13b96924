"""Writes docs/reference/layouts.md: what is read of each golden tree and of each real plate.

    python tests/write_layouts.py [FOLDER]

FOLDER holds the real plates [default: ../shared/data/plates beside the source]. Without it, their rows are
kept as they are. ``tests/unit/test_layouts_table.py`` checks that the page is what this script writes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from golden import Expected, GoldenTree, all_trees, summary

from nucbatch.core.errors import InputError
from nucbatch.readers.find import open_plate

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "layouts.md"
REAL_PLATES = ROOT.parent / "shared" / "data" / "plates"
REAL = (
    "sbs96",
    "imagexpress/Projection-Mix",
    "imagexpress/SingleChannel",
    "imagexpress/1well-3C-2S-Zmix-T",
    "imagexpress_exported/9987_Plate_3420",
    "imagexpress_exported/9987_Plate_3434",
    "imagexpress_exported/9987_Plate_3435",
    "operetta",
    "operetta_index_v1",
    "cellvoyager",
    "cellvoyager_cv7000",
    "scanr_metadata",
)
"""Plates below the folder of real plates."""

INTRODUCTION = """---
hide: [toc]
---

# What is read of each layout

Each row is a plate that the project's tests open. It shows what is read without any option, or with the
options named.

- **source**: *real file* means that names and side files follow those of real files, *specification* those of
  a published format. *quoted* means that they are known from public code or manuals only. If all trees of a
  layout are quoted, `nucbatch inspect` says that it was not tried on a real plate.
- **rests on**: the microscope's side files, or the file names alone.
- **gaps**: fields that the microscope or the table lists, but that have no usable image. They stay in all
  tables, with the reason.
- **files**: used + ignored by a named rule + quarantined with a reason.

This page is written by `tests/write_layouts.py`.
"""
GOLDEN_HEADING = "## Golden trees\n\nSmall trees that the tests write, in `tests/golden`.\n"
REAL_HEADING = "## Real plates\n\nPublished plates; they are not part of the source.\n"
COLUMNS = (
    "layout",
    "rests on",
    "unasked",
    "wells",
    "fields",
    "channels",
    "z",
    "t",
    "pixel size",
    "positions",
    "gaps",
    "files",
)


def golden_table(trees: Iterable[GoldenTree]) -> str:
    """Opens each tree and returns the table of what was read."""
    rows = []
    for tree in trees:
        with TemporaryDirectory() as scratch:
            folder = Path(scratch, "plate")
            folder.mkdir()
            read = summary(tree.open(folder, tree.build(folder)))
        options = [f"`--{name.replace('_', '-')} {value}`" for name, value in tree.options.items()]
        options += ["`--root`"] if tree.root else []
        rows.append((tree.name, tree.source, *_cells(read, " ".join(options) or "yes")))
    return _table(("tree", "source", *COLUMNS), rows)


def real_table(folder: Path) -> str:
    """Opens each real plate and returns the table of what was read."""
    rows: list[Sequence[str]] = []
    for name in REAL:
        try:
            rows.append((name, *_cells(summary(open_plate(folder / name)), "yes")))
        except InputError as error:
            reason = str(error).partition(":")[0]
            rows.append((name, f"refused: {reason}", *[""] * (len(COLUMNS) - 1)))
    return _table(("plate", *COLUMNS), rows)


def page(golden: str, real: str) -> str:
    """Returns the whole page."""
    return "\n".join((INTRODUCTION, GOLDEN_HEADING, golden, REAL_HEADING, real))


def parts_of(text: str) -> tuple[str, str]:
    """Returns the two tables of a page."""
    golden, real = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    return golden, real


def _cells(read: Expected, unasked: str) -> tuple[str, ...]:
    used, ignored, quarantined = read.files
    return (
        read.layout,
        read.evidence or "—",
        unasked,
        str(len(read.wells)),
        str(read.fields),
        ", ".join(read.channels),
        str(read.z),
        str(read.t),
        "—" if read.pixel_size_um is None else f"{read.pixel_size_um:g} µm",
        "all" if read.positions == read.fields > 0 else str(read.positions or "—"),
        str(read.gaps),
        f"{used} + {ignored} + {quarantined}",
    )


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else REAL_PLATES
    real = real_table(folder) if folder.is_dir() else parts_of(PAGE.read_text(encoding="utf-8"))[1]
    PAGE.write_text(page(golden_table(all_trees()), real), encoding="utf-8")


if __name__ == "__main__":
    main()
