"""``nucbatch.suggest`` and ``nucbatch.view``: which fields to label, and a window to correct them in."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pandas as pd

from nucbatch.core.errors import InputError
from nucbatch.core.selection import Selection
from nucbatch.object_store import disk_path
from nucbatch.report.exports.run_fields import fields_of
from nucbatch.review.label_folder import LabelFolder
from nucbatch.review.reviewed_run import ReviewedRun
from nucbatch.review.suggest import (
    AMONG,
    COLUMNS,
    candidates,
    export_suggestions,
    read_suggestions,
    rows_of,
)
from nucbatch.review.suggest import suggest as choose
from nucbatch.schedulers.local import cores


def suggest(
    out: str | Path,
    number: int = 20,
    *,
    wells: str = "",
    sites: str = "",
    times: str = "",
    among: int = AMONG,
    export: str | Path | None = None,
) -> pd.DataFrame:
    """Lists the fields of a run that are most worth labelling first: doubtful ones that differ.

    Args:
        out: the run's folder.
        number: how many fields.
        wells: wells to choose from, such as "B02,C03-C10"; all by default.
        sites: sites, such as "1,3-6".
        times: time points.
        among: look at this number of fields at most, spread evenly over the run.
        export: folder to which images, and labels to correct, are written as ``nucbatch.train`` reads them.

    Returns:
        One row per field, the most worthwhile first.

    Raises:
        InputError, InputNotFound, StoreError: the run can't be used.
    """
    path = disk_path(out)
    run = ReviewedRun(path)
    folder = None if export is None else LabelFolder(Path(export))
    groups = _counted(path, Selection.parse(wells, sites, times))
    found = choose(run, number, groups=groups, among=among, threads=cores())
    if folder is not None:
        export_suggestions(folder, run, found)
    return pd.DataFrame(list(rows_of(run, found)), columns=list(COLUMNS))


def view(
    out: str | Path,
    well: str = "",
    *,
    sites: str = "",
    times: str = "",
    suggested: str | Path | None = None,
    save: str | Path | None = None,
) -> Path:
    """Opens a run in napari, and waits until the window is closed.

    Args:
        out: the run's folder.
        well: a well such as "B03", or several; all by default.
        sites: sites, such as "1,3-6".
        times: time points.
        suggested: table of ``nucbatch suggest``, whose fields are gone through in its order.
        save: folder for corrections; by default the run's folder with ``-corrected`` added.

    Returns:
        The folder of corrections, which ``nucbatch.train`` takes.

    Raises:
        InputError: there is nothing to show, no display, or no napari.
        InputNotFound, StoreError: the run can't be used.
    """
    path = disk_path(out)
    run = ReviewedRun(path)
    target = LabelFolder(
        path.absolute().with_name(f"{path.absolute().name}-corrected") if save is None else Path(save)
    )
    groups = _counted(path, Selection.parse(well, sites, times))
    places = candidates(run, groups) if suggested is None else read_suggestions(Path(suggested), run, groups)
    if not places:
        raise InputError(f"{path} has no counted field in what is selected: fields.parquet has the reasons.")
    if importlib.util.find_spec("napari") is None:
        raise InputError("viewing needs napari. Install it with: pip install 'nucbatch[view]'")
    if not _has_display():
        raise InputError(
            "there is no display to show a window on (DISPLAY and WAYLAND_DISPLAY are not set). Log in with "
            "ssh -X, or copy the run's folder to a machine with a screen. nucbatch suggest --export needs "
            "none."
        )
    from napari import run as show

    from nucbatch.review.viewer.window import open_viewer

    open_viewer(run, places, target)
    show()
    return target.path


def _counted(out: Path, selection: Selection) -> list[str]:
    return [one.field.group for one in fields_of(out).selected(selection).fields if one.status == "done"]


def _has_display() -> bool:
    """Tells whether a window can be shown; without one, Qt would end the process."""
    if sys.platform != "linux" or os.environ.get("QT_QPA_PLATFORM"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
