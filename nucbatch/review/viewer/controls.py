"""The buttons, sliders and texts of the panel. What they do is connected by the panel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFormLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget
from superqt import QLabeledDoubleSlider

_LEAST_WIDTH_PX = 380
_LARGEST_THRESHOLD = 0.95


class Controls:
    """The widgets of the panel.

    Attributes:
        back, fields, on: the field before, the list of fields, the next field.
        foreground, peak, reset: both thresholds, and the button that brings back those of the run.
        remove, join, begin, save: buttons of corrections.
        status: a sentence on what is shown.
    """

    def __init__(self, titles: Sequence[str], saved_to: Path) -> None:
        """Makes the widgets.

        Args:
            titles: of the fields.
            saved_to: folder of the corrections.
        """
        self.fields = QComboBox()
        self.fields.addItems(titles)
        self.back = _button("◀", "The field before")
        self.on = _button("▶", "The next field")
        self.foreground = _slider(
            "Pixels of this probability belong to a nucleus: lower finds more and larger ones"
        )
        self.peak = _slider("Objects whose interior never reaches this are left out as debris")
        self.reset = _button("Thresholds of the run", "")
        self.remove = _button("Remove", "Remove the selected nuclei")
        self.join = _button("Merge", "Make the selected nuclei one")
        self.begin = _button("New nucleus", "Paint a new nucleus with the brush")
        self.save = _button(
            "Save correction", f"Save this field with its nuclei to {saved_to}, as nucbatch train reads it"
        )
        self.status = QLabel()
        self.status.setWordWrap(True)

    def lay_out(self, panel: QWidget, table: QWidget) -> None:
        """Puts the widgets and the table into the panel."""
        form = QFormLayout()
        form.addRow("Foreground", self.foreground)
        form.addRow("Peak", self.peak)
        form.addRow("", self.reset)
        layout = QVBoxLayout(panel)
        layout.addLayout(_row(self.back, self.fields, self.on))
        layout.addLayout(form)
        layout.addLayout(_row(self.remove, self.join, self.begin))
        layout.addWidget(self.save)
        layout.addWidget(table, 1)
        layout.addWidget(self.status)
        panel.setMinimumWidth(_LEAST_WIDTH_PX)

    def show_thresholds(self, foreground: float, peak: float, enabled: bool) -> None:
        """Moves the sliders, without the signal that a person's move sends."""
        for slider, value in ((self.foreground, foreground), (self.peak, peak)):
            slider.blockSignals(True)
            slider.setValue(value)
            slider.blockSignals(False)
            slider.setEnabled(enabled)
        self.reset.setEnabled(enabled)

    @property
    def thresholds(self) -> tuple[float, float]:
        """Foreground and peak as the sliders show them."""
        return round(self.foreground.value(), 2), round(self.peak.value(), 2)


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button


def _slider(tip: str) -> QLabeledDoubleSlider:
    slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
    slider.setRange(0.0, _LARGEST_THRESHOLD)
    slider.setSingleStep(0.01)
    slider.setDecimals(2)
    slider.setToolTip(tip)
    return slider


def _row(*widgets: QWidget) -> QHBoxLayout:
    """Returns the widgets side by side; a list takes the room that the others leave."""
    row = QHBoxLayout()
    for one in widgets:
        row.addWidget(one, 1 if isinstance(one, QComboBox) else 0)
    return row
