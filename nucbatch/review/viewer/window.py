"""Opens the window of the viewer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from napari import Viewer
from qtpy.QtWidgets import QMessageBox

from nucbatch.review.label_folder import LabelFolder
from nucbatch.review.reviewed_run import ReviewedRun
from nucbatch.review.suggest import Candidate
from nucbatch.review.viewer.panel import Panel


def open_viewer(
    run: ReviewedRun,
    places: Sequence[Candidate],
    folder: LabelFolder,
    *,
    show: bool = True,
    ask: Callable[[str], str] | None = None,
) -> tuple[Viewer, Panel]:
    """Opens the window at the first place.

    Args:
        run: the run.
        places: fields or windows to go through, at least one.
        folder: where corrections are saved.
        show: whether the window is shown.
        ask: asks whether to save corrections: "save", "discard" or "cancel"; None for a dialogue.
    """
    viewer = Viewer(title=f"nucbatch: {run.folder.path.name}", show=show)
    panel = Panel(viewer, run, places, folder, ask or _ask)
    viewer.window.add_dock_widget(panel, name="Nuclei", area="right")
    return viewer, panel


def _ask(title: str) -> str:
    """Asks what becomes of corrections."""
    buttons = QMessageBox.StandardButton
    answer = QMessageBox.question(
        None,
        "Corrections",
        f"Save the corrections of {title}?",
        buttons.Save | buttons.Discard | buttons.Cancel,
    )
    return {buttons.Save: "save", buttons.Discard: "discard"}.get(answer, "cancel")
