"""Finds the plates of a screen: in a table of plates, a manifest of images, or a folder of folders."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from nucbatch.core.errors import InputError, InputNotFound
from nucbatch.object_store import ObjectPath, as_path, is_address
from nucbatch.readers.layouts.manifest_table import Row, read_rows
from nucbatch.readers.names import safe_name

_TABLES = (".csv", ".tsv", ".parquet")
_INPUT = "Input"
_NAMES = ("Plate", "Metadata_Plate")


@dataclass(frozen=True, slots=True)
class ScreenPlate:
    """A plate of a screen.

    Attributes:
        name: its name, and that of its folder.
        path: its input.
        of_manifest: its name in the manifest, if the input is one that names several plates.
    """

    name: str
    path: Path
    of_manifest: str = ""


def plates_of(path: Path) -> list[ScreenPlate]:
    """Lists the plates of a screen, in the order of the input.

    Args:
        path: a folder that holds one folder for each plate; a table with the columns ``Input`` and, on
            request, ``Plate``, one row for each plate; or a manifest with the columns of CellProfiler's
            LoadData and ``Metadata_Plate``, one row for each field.

    Raises:
        InputNotFound: the path does not exist.
        InputError: it holds no plates, or two plates would get the same folder.
    """
    if path.name.lower().endswith(_TABLES):
        plates = _of_table(path)
    elif path.is_dir():
        plates = [
            ScreenPlate(safe_name(child.name), child)
            for child in sorted(path.iterdir(), key=lambda child: child.name)
            if child.is_dir() and not child.name.startswith(".")
        ]
    elif path.exists():
        raise InputError(f"{path} is neither a table ({', '.join(_TABLES)}) nor a folder of plates.")
    else:
        raise _absent(path)
    if not plates:
        raise InputError(f"{path} holds no plate: give a table with a column {_INPUT}, or plates in folders.")
    twice = [name for name, count in Counter(plate.name.casefold() for plate in plates).items() if count > 1]
    if twice:
        raise InputError(
            f"{path} has several plates whose folder would be {twice[0]}: give each its own name in a column "
            "Plate."
        )
    return plates


def _absent(path: Path) -> InputNotFound:
    return InputNotFound(f"{path} does not exist: give a table of plates or a folder of plates.")


def _of_table(path: Path) -> list[ScreenPlate]:
    if not path.is_file():
        raise _absent(path)
    rows = read_rows(path)
    if _INPUT in rows[0].values:
        return [_of_row(row, path) for row in rows]
    named = list(dict.fromkeys(row.get("Metadata_Plate") for row in rows))
    if named == [""]:
        raise InputError(
            f"{path} has neither a column {_INPUT} (one row for each plate) nor Metadata_Plate (one row for "
            "each field): add one of them, or give the file to nucbatch run, which takes it for one plate."
        )
    if "" in named:
        raise InputError(f"{path}: Metadata_Plate is empty in some rows: fill it in, or remove the rows.")
    return [ScreenPlate(safe_name(name), path, name) for name in named]


def _of_row(row: Row, table: Path) -> ScreenPlate:
    given = row.get(_INPUT)
    if not given:
        raise InputError(
            f"{table}, row {row.number}: {_INPUT} is empty: write the folder or address of a plate."
        )
    if is_address(given) or isinstance(table, ObjectPath):
        place = as_path(given) if is_address(given) else table.parent / given
    else:
        place = table.parent / given  # an absolute path stays as it is
    return ScreenPlate(safe_name(row.get(*_NAMES) or place.name.removesuffix(".zarr")), place)
