"""The viewer: napari with image, nuclei and their table linked, live thresholds, and corrections.

Only this module knows napari and Qt. What a correction or a threshold does is in ``field_review.py``.

A click on a nucleus selects its row; selected rows are outlined. Nuclei are corrected with napari's own tools
for labels (paint, erase, fill), or removed, merged and begun with the panel's buttons.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from napari import Viewer
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractTableModel, QEvent, QItemSelectionModel, QModelIndex, Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleSlider

from nucbatch.core.errors import NucbatchError
from nucbatch.review.field_review import NUMBER, FieldReview
from nucbatch.review.label_folder import LabelFolder
from nucbatch.review.reviewed_run import ReviewedRun
from nucbatch.review.suggest import Candidate

_SELECTED = "#ffd400"
_WAIT_MS = 250  # after the last change of a threshold or stroke of the brush
_SHORTENED = ("Nuclei_", "AreaShape_", "Intensity_", "Metadata_")
_WHITE_PERCENT = 99.8
_ROW_PX = 24


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


class NucleiTable(QAbstractTableModel):  # type: ignore[misc]  # Qt has no types here
    """The table of nuclei for Qt: one row per nucleus, sorted by any column."""

    def __init__(self) -> None:
        super().__init__()
        self.table = pd.DataFrame({NUMBER: []})

    def show(self, table: pd.DataFrame) -> None:
        """Shows another table."""
        self.beginResetModel()
        self.table = table
        self.endResetModel()

    def number(self, row: int) -> int:
        """Returns the number of a row's nucleus."""
        return int(self.table[NUMBER].iloc[row])

    def row_of(self, number: int) -> int | None:
        """Returns the row of a nucleus; None if the table lacks it."""
        found = np.flatnonzero(self.table[NUMBER].to_numpy() == number)
        return int(found[0]) if len(found) else None

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 (Qt's name)
        return len(self.table)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        return self.table.shape[1]

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        value: Any = self.table.iat[index.row(), index.column()]
        return "" if pd.isna(value) else f"{value:.4g}" if isinstance(value, float) else str(value)

    def headerData(  # noqa: N802
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        name = str(self.table.columns[section])
        if role == Qt.ItemDataRole.ToolTipRole:
            return name
        return _short(name) if role == Qt.ItemDataRole.DisplayRole else None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        name = self.table.columns[column]
        ascending = order == Qt.SortOrder.AscendingOrder
        self.show(self.table.sort_values([name, NUMBER] if name != NUMBER else name, ascending=ascending))


class Panel(QWidget):  # type: ignore[misc]  # Qt has no types here
    """The panel beside the image: field, thresholds, corrections, table.

    Attributes:
        review: the field shown.
        nuclei: napari's layer of the labels, whose pixels are those of ``review``.
        selected: numbers of the selected nuclei.
        model: the table.
    """

    def __init__(
        self,
        viewer: Viewer,
        run: ReviewedRun,
        places: Sequence[Candidate],
        folder: LabelFolder,
        ask: Callable[[str], str],
    ) -> None:
        super().__init__()
        self.viewer, self.run, self.places, self.folder, self._ask = viewer, run, list(places), folder, ask
        self.model, self.selected, self.place = NucleiTable(), list[int](), 0
        self._build()
        self._timer = QTimer(self, singleShot=True, interval=_WAIT_MS)
        self._timer.timeout.connect(self._apply)
        self._wanted: tuple[float, float] | None = None
        self.review: FieldReview
        self.nuclei: Any = None
        self.show_place(0)

    def _build(self) -> None:
        self.fields = QComboBox()
        self.fields.addItems([FieldReview.title_of(self.run, one.group, one.box) for one in self.places])
        self.fields.activated.connect(self.go_to)
        back, on = QPushButton("◀"), QPushButton("▶")
        back.setToolTip("The field before")
        on.setToolTip("The next field")
        back.clicked.connect(lambda: self.go_to(self.place - 1))
        on.clicked.connect(lambda: self.go_to(self.place + 1))
        top = QHBoxLayout()
        for one in (back, self.fields, on):
            top.addWidget(one, 1 if one is self.fields else 0)
        self.foreground, self.peak = (self._slider() for _ in range(2))
        self.foreground.setToolTip(
            "Pixels of this probability belong to a nucleus: lower finds more and larger ones"
        )
        self.peak.setToolTip("Objects whose interior never reaches this are left out as debris")
        self.reset = QPushButton("Thresholds of the run")
        self.reset.clicked.connect(self._reset)
        form = QFormLayout()
        form.addRow("Foreground", self.foreground)
        form.addRow("Peak", self.peak)
        form.addRow("", self.reset)
        self.remove, self.join, self.begin, self.save = (
            QPushButton(text) for text in ("Remove", "Merge", "New nucleus", "Save correction")
        )
        self.remove.setToolTip("Remove the selected nuclei")
        self.join.setToolTip("Make the selected nuclei one")
        self.begin.setToolTip("Paint a new nucleus with the brush")
        self.save.setToolTip(
            f"Save this field with its nuclei to {self.folder.path}, as nucbatch train reads it"
        )
        for button, action in (
            (self.remove, self.remove_selected),
            (self.join, self.merge_selected),
            (self.begin, self.paint_new),
            (self.save, self.save_correction),
        ):
            button.clicked.connect(lambda _checked=False, action=action: action())
        buttons = QHBoxLayout()
        for button in (self.remove, self.join, self.begin):
            buttons.addWidget(button)
        self.view = QTableView()
        self.view.setModel(self.model)
        self.view.setSortingEnabled(True)
        self.view.horizontalHeader().setSortIndicator(0, Qt.SortOrder.AscendingOrder)
        self.view.verticalHeader().hide()
        self.view.verticalHeader().setDefaultSectionSize(_ROW_PX)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.view.selectionModel().selectionChanged.connect(self._rows_selected)
        self.status = QLabel()
        self.status.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.addLayout(top)
        layout.addLayout(form)
        layout.addLayout(buttons)
        layout.addWidget(self.save)
        layout.addWidget(self.view, 1)
        layout.addWidget(self.status)
        self.setMinimumWidth(380)

    def _slider(self) -> QLabeledDoubleSlider:
        slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        slider.setRange(0.0, 0.95)
        slider.setSingleStep(0.01)
        slider.setDecimals(2)
        slider.valueChanged.connect(self._threshold_moved)
        return slider

    def showEvent(self, event: Any) -> None:  # noqa: N802
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
        self.fields.setCurrentIndex(self.place)

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
            channels = review.channels
        except NucbatchError as error:
            self._say(str(error))
            return
        self.place, self.review = place, review
        self.fields.setCurrentIndex(place)
        self.viewer.layers.clear()
        if self.run.settings.channel not in channels and len(channels) == 3:
            self.viewer.add_image(_shown_colours(list(channels.values())), rgb=True, name="image")
            channels = {}
        for name, pixels in channels.items():
            low, high = np.percentile(pixels.astype(np.float64), (1, _WHITE_PERCENT)).tolist()
            self.viewer.add_image(
                pixels,
                name=name,
                contrast_limits=(low, max(high, low + 1)),
                visible=name == self.run.settings.channel or self.run.settings.channel not in channels,
                blending="additive",
            )
        self.nuclei = self.viewer.add_labels(review.labels, name="nuclei", opacity=0.45)
        self.outlined = self.viewer.add_labels(
            np.zeros(review.labels.shape, np.uint8),
            name="selected",
            opacity=1.0,
            colormap=DirectLabelColormap(color_dict={None: "transparent", 1: _SELECTED}),
        )
        self.outlined.contour = 2
        self.outlined.editable = False
        self.viewer.layers.selection.active = self.nuclei
        self.nuclei.mouse_drag_callbacks.append(self._clicked)
        for event in (self.nuclei.events.paint, self.nuclei.events.labels_update):  # the brush, and undoing
            event.connect(lambda _event: self._timer.start())
        self._show_thresholds()
        self.viewer.reset_view()
        self.refresh()

    def refresh(self) -> None:
        """Shows the table and the nuclei as they are now."""
        self.nuclei.refresh()
        self.model.show(self.review.table())
        self.select([number for number in self.selected if self.model.row_of(number) is not None])
        count = self.model.rowCount()
        state = "corrected, not saved" if self.review.is_changed else self._state()
        self._say(f"{self.review.title}: {count:,} {'nucleus' if count == 1 else 'nuclei'}, {state}.")

    def _state(self) -> str:
        objects = self.run.settings.objects
        same = (self.review.foreground, self.review.peak) == (objects.foreground, objects.peak)
        return (
            "as the run found them"
            if same
            else f"foreground {self.review.foreground:g}, peak {self.review.peak:g}"
        )

    def select(self, numbers: Sequence[int]) -> None:
        """Selects nuclei: their rows, and their outlines in the image."""
        self.selected = list(numbers)
        rows = [row for row in map(self.model.row_of, self.selected) if row is not None]
        chosen = self.view.selectionModel()
        chosen.blockSignals(True)
        chosen.clearSelection()
        flags = QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows
        for row in rows:
            chosen.select(self.model.index(row, 0), flags)
        chosen.blockSignals(False)
        self.view.viewport().update()
        if rows:
            self.view.scrollTo(self.model.index(rows[0], 0))
        self._outline()

    def _outline(self) -> None:
        self.outlined.data = np.isin(self.review.labels, self.selected).astype(np.uint8)

    def _rows_selected(self, *_: object) -> None:
        rows = self.view.selectionModel().selectedRows()
        self.selected = [self.model.number(index.row()) for index in rows]
        self._outline()

    def _clicked(self, layer: Any, event: Any) -> None:
        if layer.mode not in ("pan_zoom", "pick"):
            return
        value = layer.get_value(event.position, view_direction=event.view_direction, world=True)
        number = int(value or 0)
        if not number:
            self.select([])
        elif "Shift" in event.modifiers or "Control" in event.modifiers:
            others = [one for one in self.selected if one != number]
            self.select(others if number in self.selected else [*others, number])
        else:
            self.select([number])

    def _threshold_moved(self, *_: object) -> None:
        self._wanted = round(self.foreground.value(), 2), round(self.peak.value(), 2)
        self._timer.start()

    def _apply(self) -> None:
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
            self.nuclei.data = self.review.labels
        self.refresh()

    def _reset(self) -> None:
        objects = self.run.settings.objects
        self._wanted = objects.foreground, objects.peak
        self._apply()
        self._show_thresholds()

    def _show_thresholds(self) -> None:
        for slider, value in ((self.foreground, self.review.foreground), (self.peak, self.review.peak)):
            slider.blockSignals(True)
            slider.setValue(value)
            slider.blockSignals(False)
            slider.setEnabled(self.review.has_thresholds)
        self.reset.setEnabled(self.review.has_thresholds)

    def remove_selected(self) -> None:
        """Removes the selected nuclei."""
        self._edit(np.isin(self.review.labels, self.selected), 0)
        self.select([])
        self.refresh()

    def merge_selected(self) -> None:
        """Makes the selected nuclei one."""
        if len(self.selected) < 2:
            self._say("Select two or more nuclei to merge: in the table, or by clicks with Shift.")
            return
        kept = min(self.selected)
        self._edit(np.isin(self.review.labels, self.selected), kept)
        self.select([kept])
        self.refresh()

    def _edit(self, where: NDArray[np.bool_], number: int) -> None:
        """Gives pixels a number by napari's own way, which can be undone with Ctrl-Z."""
        if where.any():
            self.nuclei.data_setitem(np.nonzero(where), number)

    def paint_new(self) -> None:
        """Chooses a new number and the brush."""
        self.nuclei.selected_label = self.review.next_number()
        self.nuclei.brush_size = 8
        self.nuclei.mode = "paint"
        self.viewer.layers.selection.active = self.nuclei
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
        self.status.setText(text)


def _shown_colours(planes: list[NDArray[np.generic]]) -> NDArray[np.generic]:
    """Returns red, green and blue as napari shows them: (Y, X, 3) uint8, or floats from 0 to 1."""
    pixels = np.stack(planes, axis=-1)
    return pixels if pixels.dtype == np.uint8 else pixels / max(float(pixels.max()), 1e-6)


def _short(name: str) -> str:
    """Returns a column's name without its family, for a narrow header."""
    if name == NUMBER:
        return "nucleus"
    for start in _SHORTENED:
        name = name.removeprefix(start)
    return name


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
