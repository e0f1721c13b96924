"""A session in the viewer: clicks, moves a threshold, corrects, saves, and writes what it saw as JSON.

python viewer_session.py RUN FOLDER SCREENSHOT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from qtpy.QtWidgets import QApplication

from nucbatch.review.label_folder import LabelFolder
from nucbatch.review.reviewed_run import ReviewedRun
from nucbatch.review.suggest import candidates
from nucbatch.review.viewer.window import open_viewer


def main(out: Path, folder: Path, screenshot: Path) -> None:
    run, answers = ReviewedRun(out), ["cancel", "discard"]
    places = candidates(run, run.fields["Metadata_Image"])
    viewer, panel = open_viewer(run, places, LabelFolder(folder), ask=lambda _: answers.pop(0))
    viewer.window.resize(1400, 900)
    seen: dict[str, object] = {
        "layers": [layer.name for layer in viewer.layers],
        "rows": panel.table.rowCount(),
    }

    y, x = np.argwhere(panel.review.labels == 2)[0]
    event = SimpleNamespace(position=(y, x), view_direction=None, modifiers=())
    panel.click(panel.layers.nuclei, event)
    seen["row of a click"] = [index.row() for index in panel.view.selectionModel().selectedRows()]
    seen["outlined"] = np.unique(panel.review.labels[panel.layers.outlined.data == 1]).tolist()
    panel.view.selectRow(3)
    seen["nucleus of a row"] = panel.selected
    panel.view.sortByColumn(1, panel.view.horizontalHeader().sortIndicatorOrder().DescendingOrder)
    areas = panel.table.table.iloc[:, 1].tolist()
    seen["sorted by area"] = areas == sorted(areas, reverse=True)

    panel.select([1, 2])
    QApplication.processEvents()
    viewer.screenshot(str(screenshot), canvas_only=False)
    before = np.count_nonzero(panel.review.labels)
    panel.controls.foreground.setValue(0.9)
    panel.apply_changes()
    seen["fewer pixels at 0.9"] = int(np.count_nonzero(panel.layers.nuclei.data)) < before
    panel.reset_thresholds()
    seen["as before"] = int(np.count_nonzero(panel.layers.nuclei.data)) == before

    panel.select([1, 2])
    panel.merge_selected()
    seen["merged"] = panel.table.rowCount()
    panel.layers.nuclei.undo()
    panel.refresh()
    seen["undone"] = panel.table.rowCount()
    panel.select([3])
    panel.remove_selected()
    panel.go_to(1)
    seen["stayed"] = panel.place
    panel.save_correction()
    seen["saved"] = panel.controls.status.text()
    panel.go_to(1)
    seen["went on"] = panel.place
    panel.paint_new()
    panel.layers.nuclei.paint((40, 40), panel.layers.nuclei.selected_label)
    seen["painted"] = (
        panel.table.row_of(panel.layers.nuclei.selected_label) is None and panel.review.is_changed
    )
    viewer.close()  # the changes are discarded
    sys.stdout.write(json.dumps(seen, default=lambda value: value.item()) + "\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
