"""The panel beside the image, which links field, thresholds, corrections and table.

A click on a nucleus selects its row; selected rows are outlined. Nuclei are corrected with napari's own tools
for labels (paint, erase, fill), or removed, merged and begun with the panel's buttons.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from napari import Viewer
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QWidget

from nucbatch.core.errors import NucbatchError
from nucbatch.review.field_review import FieldReview
from nucbatch.review.label_folder import LabelFolder
from nucbatch.review.reviewed_run import ReviewedRun
from nucbatch.review.suggest import Candidate
from nucbatch.review.viewer.controls import Controls
from nucbatch.review.viewer.layers import FieldLayers
from nucbatch.review.viewer.nuclei_table import NucleiTable, NucleiView

_WAIT_MS = 250  # after the last change of a threshold or stroke of the brush


class Panel(QWidget):  # type: ignore[misc]  # Qt has no types here
    """The panel.

    Attributes:
        place: number of the field shown.
        review: the field shown.
        layers: its layers in napari.
        table: its nuclei.
        view: the table as it is seen.
        selected: numbers of the selected nuclei.
        controls: buttons, sliders and texts.
    """

    def __init__(
        self,
        viewer: Viewer,
        run: ReviewedRun,
        places: Sequence[Candidate],
        folder: LabelFolder,
        ask: Callable[[str], str],
    ) -> None:
        """Shows the first place; see :func:`~nucbatch.review.viewer.window.open_viewer`."""
        super().__init__()
        self.viewer, self.run, self.places, self.folder, self._ask = viewer, run, list(places), folder, ask
        self.table, self.selected, self.place = NucleiTable(), list[int](), 0
        self.view = NucleiView(self.table)
        titles = [FieldReview.title_of(run, one.group, one.box) for one in self.places]
        self.controls = Controls(titles, folder.path)
        self.controls.lay_out(self, self.view)
        self._timer = QTimer(self, singleShot=True, interval=_WAIT_MS)
        self._wanted: tuple[float, float] | None = None
        self._connect()
        self.review: FieldReview
        self.layers: FieldLayers
        self.show_place(0)

    def _connect(self) -> None:
        controls = self.controls
        controls.fields.activated.connect(self.go_to)
        controls.foreground.valueChanged.connect(self._threshold_moved)
        controls.peak.valueChanged.connect(self._threshold_moved)
        actions = {
            controls.back: lambda: self.go_to(self.place - 1),
            controls.on: lambda: self.go_to(self.place + 1),
            controls.reset: self.reset_thresholds,
            controls.remove: self.remove_selected,
            controls.join: self.merge_selected,
            controls.begin: self.paint_new,
            controls.save: self.save_correction,
        }
        for button, action in actions.items():
            button.clicked.connect(lambda _checked=False, action=action: action())
        self.view.selectionModel().selectionChanged.connect(self._rows_selected)
        self._timer.timeout.connect(self.apply_changes)

    def showEvent(self, event: Any) -> None:  # noqa: N802 (Qt's name)
        """Watches the window, so that it asks before it closes."""
        self.window().installEventFilter(self)
        super().showEvent(event)

    def eventFilter(self, watched: Any, event: Any) -> bool:  # noqa: N802
        if watched is self.window() and event.type() == QEvent.Type.Close and not self.may_leave():
            event.ignore()
            return True
        return False

    def go_to(self, place: int) -> None:
        """Shows another field, after asking what becomes of corrections that are not saved."""
        if 0 <= place < len(self.places) and self.may_leave():
            self.show_place(place)
        self.controls.fields.setCurrentIndex(self.place)

    def may_leave(self) -> bool:
        """Asks whether to save corrections, and saves them; returns False if the person wants to stay."""
        if not self.review.is_changed:
            return True
        answer = self._ask(self.review.title)
        if answer == "save":
            self.save_correction()
            return not self.review.is_changed
        return answer == "discard"

    def show_place(self, place: int) -> None:
        """Shows a field from the run."""
        one = self.places[place]
        try:
            review = FieldReview(self.run, one.group, one.box)
            self.layers = FieldLayers(self.viewer, review, on_click=self.click, on_change=self._timer.start)
        except NucbatchError as error:
            self._say(str(error))
            return
        self.place, self.review = place, review
        self.controls.fields.setCurrentIndex(place)
        self._show_thresholds()
        self.refresh()

    def refresh(self) -> None:
        """Shows the table and the nuclei as they are now."""
        self.layers.nuclei.refresh()
        self.table.show(self.review.table())
        self.select([number for number in self.selected if self.table.row_of(number) is not None])
        count = self.table.rowCount()
        state = "corrected, not saved" if self.review.is_changed else self._state()
        self._say(f"{self.review.title}: {count:,} {'nucleus' if count == 1 else 'nuclei'}, {state}.")

    def _state(self) -> str:
        objects = self.run.settings.objects
        if (self.review.foreground, self.review.peak) == (objects.foreground, objects.peak):
            return "as the run found them"
        return f"foreground {self.review.foreground:g}, peak {self.review.peak:g}"

    def select(self, numbers: Sequence[int]) -> None:
        """Selects nuclei: their rows, and their outlines in the image."""
        self.selected = list(numbers)
        self.view.select_numbers(self.selected)
        self.layers.outline(self.selected)

    def _rows_selected(self, *_: object) -> None:
        self.selected = self.view.selected_numbers()
        self.layers.outline(self.selected)

    def click(self, _layer: Any, event: Any) -> None:
        """Selects the nucleus under the mouse; with Shift or Ctrl, besides the others."""
        number = self.layers.number_at(event)
        if number is None:
            return
        if not number:
            self.select([])
        elif "Shift" in event.modifiers or "Control" in event.modifiers:
            others = [one for one in self.selected if one != number]
            self.select(others if number in self.selected else [*others, number])
        else:
            self.select([number])

    def _threshold_moved(self, *_: object) -> None:
        self._wanted = self.controls.thresholds
        self._timer.start()

    def apply_changes(self) -> None:
        """Finds nuclei by the thresholds that were asked for, if any, and measures them."""
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            if not self.may_leave():
                self._show_thresholds()
                return
            try:
                self.review.find(*wanted)
            except NucbatchError as error:
                self._say(str(error))
                return
            self.layers.show_labels(self.review.labels)
        self.refresh()

    def reset_thresholds(self) -> None:
        """Finds the nuclei by the thresholds of the run."""
        objects = self.run.settings.objects
        self._wanted = objects.foreground, objects.peak
        self.apply_changes()
        self._show_thresholds()

    def _show_thresholds(self) -> None:
        review = self.review
        self.controls.show_thresholds(review.foreground, review.peak, review.has_thresholds)

    def remove_selected(self) -> None:
        """Removes the selected nuclei."""
        self.layers.replace(self.selected, 0)
        self.select([])
        self.refresh()

    def merge_selected(self) -> None:
        """Makes the selected nuclei one."""
        if len(self.selected) < 2:
            self._say("Select two or more nuclei to merge: in the table, or by clicks with Shift.")
            return
        kept = min(self.selected)
        self.layers.replace(self.selected, kept)
        self.select([kept])
        self.refresh()

    def paint_new(self) -> None:
        """Chooses a new number and the brush."""
        self.layers.paint(self.review.next_number())
        self._say("Paint the nucleus. The hand (key 1) leads back to selecting.")

    def save_correction(self) -> None:
        """Saves the field as training data."""
        try:
            origin = self.review.save(self.folder)
        except NucbatchError as error:
            self._say(str(error))
            return
        self.refresh()
        self._say(
            f"Saved {origin.id} with {origin.nuclei_saved:,} nuclei ({origin.changed_px:,} px changed) to "
            f"{self.folder.path}."
        )

    def _say(self, text: str) -> None:
        self.controls.status.setText(text)
