"""The report: one self-contained HTML file.

Images are embedded as PNG and SVG, there are no scripts, and a content policy in the page's head forbids
loading anything. Names come from file names and are escaped.
"""

from __future__ import annotations

from pathlib import Path

from nucbatch.core.errors import InputNotFound, StoreError
from nucbatch.report.panel import fill, load_panels
from nucbatch.report.run_data import RunData
from nucbatch.store.atomic import write_text
from nucbatch.store.run_folder import RunFolder


def write_report(folder: Path) -> Path:
    """Writes ``report.html`` into a finished run's folder and returns its path.

    Raises:
        InputNotFound: there is no such folder.
        StoreError: the folder holds no finished run, or can't be written to.
    """
    if not folder.is_dir():
        raise InputNotFound(f"{folder} does not exist: name the folder of a run (its -o OUT).")
    run = RunFolder(folder)
    if not run.is_run():
        raise StoreError(f"{folder} is not a run of nucbatch: name a finished run's folder (its -o OUT).")
    write_text(run.report, render(RunData(run)))
    return run.report


def render(data: RunData) -> str:
    """The page as HTML text."""
    sections = []
    for name, panel in load_panels().items():
        body = panel.render(data)
        if body.strip():
            sections.append({"name": name, "title": panel.title, "body": body})
    plates = sorted({str(plate) for plate in data.fields["Metadata_Plate"]})
    return fill(
        "page.html",
        name=", ".join(plate for plate in plates if plate) or data.paths.path.resolve().name,
        version=data.text("nucbatch"),
        sections=sections,
    )
