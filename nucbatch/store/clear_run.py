"""Removes the files of a run from its folder, and leaves all others.

A hand-drawn label group inside the OME-Zarr, or a note beside the tables, stays.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from nucbatch.core.errors import StoreError
from nucbatch.store.atomic import PARTIAL
from nucbatch.store.label_tiff import is_label_tiff
from nucbatch.store.run_folder import RunFolder

_CHUNK = re.compile(r"\d+/(c[/.])?\d+([/.]\d+)+$")
_DOCUMENTS = frozenset({"zarr.json", ".zgroup", ".zattrs", ".zarray"})


def clear_run(
    folder: RunFolder, *, keep_maps: bool = False, keep_images: bool = False, keep: Path | None = None
) -> None:
    """Removes the files of a run and prepares the folder for a new one, under the run lock.

    The ledger goes first, then the table fragments. If clearing is interrupted, no field counts as done
    whose files are incomplete.

    Args:
        folder: the run's folder.
        keep_maps: keep the probabilities, the large images' other intermediate files, and the description
            of the experiment, for a run that is made anew from them.
        keep_images: keep the OME-Zarr, which has the copies of large images.
        keep: a log file to keep.

    Raises:
        StoreError: the folder is not a run, or a file cannot be removed.
    """
    if not folder.is_run():
        raise StoreError(
            f"{folder.path} is no run of nucbatch (it has no {folder.format_file.relative_to(folder.path)}), "
            "so nothing in it was removed. Leave out --restart, or choose a run's folder with -o."
        )
    try:
        folder.ledger.unlink(missing_ok=True)
        _remove_below(folder.fragments, lambda path, below: True)  # the ledger could be rebuilt from them
        tables = (
            folder.nuclei,
            folder.nuclei_csv,
            folder.fields,
            folder.wells,
            folder.files,
            folder.images_csv,
        )
        of_experiment = folder.assay, folder.doses, folder.normalised
        described = () if keep_maps else (folder.metadata, folder.run_json)
        for path in (*tables, *of_experiment, *described, folder.report, folder.session):
            path.unlink(missing_ok=True)
        if not keep_images:
            for store in (folder.plate_zarr, folder.images_zarr, *filter(None, [folder.zarr])):
                _remove_below(store, is_own_zarr_file)
        _remove_below(folder.labels, _is_own_tiff)
        _remove_below(folder.logs, lambda path, below: path != keep)
        if not keep_maps:
            for top in (folder.scratch, folder.probabilities):
                _remove_below(top, lambda path, below: True)
        for path in folder.path.glob(f".*{PARTIAL}"):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"{error.filename or folder.path} can't be removed: {error.strerror or error}. Set the "
            "permissions and give --restart again."
        ) from error
    folder.create()


def _remove_below(top: Path, is_own: Callable[[Path, str], bool]) -> None:
    """Removes a run's own files below ``top``, then empty folders, ``top`` included; ignores links."""
    if top.is_symlink():
        return
    for where, _, names in os.walk(top, topdown=False):
        folder = Path(where)
        for name in names:
            path = folder / name
            if name.endswith(PARTIAL) or is_own(path, path.relative_to(top).as_posix()):
                path.unlink()
        with os.scandir(folder) as left:
            empty = next(left, None) is None
        if empty:
            folder.rmdir()


def is_own_zarr_file(path: Path, below: str) -> bool:
    """Returns whether a run writes this file; label groups other than ``nuclei`` belong to the user."""
    parts = below.split("/")
    # The first part is a plate's row or a collection's image, which may itself have the name "labels".
    at = parts.index("labels", 1) if "labels" in parts[1:] else None
    if at is not None and parts[at + 1] not in {"nuclei", *_DOCUMENTS}:
        return False
    return path.name in _DOCUMENTS or _CHUNK.search(below) is not None


def _is_own_tiff(path: Path, below: str) -> bool:
    """Returns whether a run wrote this label TIFF."""
    return path.suffix == ".tif" and not path.is_symlink() and is_label_tiff(path)
