"""The table of nuclei beside the image: one row each, sorted by any column, with the selected rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from qtpy.QtCore import QAbstractTableModel, QItemSelectionModel, QModelIndex, Qt
from qtpy.QtWidgets import QAbstractItemView, QTableView

from nucbatch.review.field_review import NUMBER

_SHORTENED = ("Nuclei_", "AreaShape_", "Intensity_", "Metadata_")
_ROW_PX = 24


class NucleiTable(QAbstractTableModel):  # type: ignore[misc]  # Qt has no types here
    """The table as Qt asks for it.

    Attributes:
        table: the rows, as they are sorted now.
    """

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


class NucleiView(QTableView):  # type: ignore[misc]
    """The table as it is seen: whole rows are selected, several with Shift or Ctrl."""

    def __init__(self, model: NucleiTable) -> None:
        super().__init__()
        self.setModel(model)
        self.setSortingEnabled(True)
        self.horizontalHeader().setSortIndicator(0, Qt.SortOrder.AscendingOrder)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW_PX)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)

    def selected_numbers(self) -> list[int]:
        """Returns the numbers of the nuclei whose rows are selected."""
        return [self.model().number(index.row()) for index in self.selectionModel().selectedRows()]

    def select_numbers(self, numbers: Sequence[int]) -> None:
        """Selects the rows of nuclei, without the signal that a person's selection sends."""
        rows = [row for row in map(self.model().row_of, numbers) if row is not None]
        chosen = self.selectionModel()
        chosen.blockSignals(True)
        chosen.clearSelection()
        flags = QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows
        for row in rows:
            chosen.select(self.model().index(row, 0), flags)
        chosen.blockSignals(False)
        self.viewport().update()
        if rows:
            self.scrollTo(self.model().index(rows[0], 0))


def _short(name: str) -> str:
    """Returns a column's name without its family, for a narrow header."""
    if name == NUMBER:
        return "nucleus"
    for start in _SHORTENED:
        name = name.removeprefix(start)
    return name
