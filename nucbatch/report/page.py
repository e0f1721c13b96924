"""The report: one self-contained HTML file.

Images are embedded, and a content policy in the page's head forbids loading anything and running any script
but the page's own, which it names by its SHA-256. Names come from file names and are escaped.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from pathlib import Path

import numpy as np
from markupsafe import Markup

from nucbatch.core.errors import InputNotFound, StoreError
from nucbatch.report.field_images import picture_within
from nucbatch.report.outlines import outline_code
from nucbatch.report.panel import compile_templates, fill, load_panels
from nucbatch.report.run_data import RunData
from nucbatch.store.atomic import write_text
from nucbatch.store.run_folder import RunFolder

# One script, in this order: each uses what those before it define.
_SCRIPTS = ("page.js", "plate.js", "plots.js", "fields.js")


def write_report(folder: Path, tables: RunFolder | None = None) -> Path:
    """Writes ``report.html`` into a run's folder and returns its path.

    Args:
        folder: the run's folder.
        tables: folder with the tables, images and run.json to show; None: the run's folder, if it is
            finished.

    Raises:
        InputNotFound: there is no such folder.
        StoreError: the folder holds no finished run, or can't be written to.
    """
    run = require_run(folder)
    write_text(run.report, render(RunData(tables or run)))
    return run.report


def require_run(folder: Path) -> RunFolder:
    """Returns the run's folder.

    Raises:
        InputNotFound: there is no such folder. StoreError: it holds no run.
    """
    if not folder.is_dir():
        raise InputNotFound(f"{folder} does not exist: name the folder of a run (its -o OUT).")
    run = RunFolder(folder)
    if not run.is_run():
        raise StoreError(f"{folder} is not a run of nucbatch: name the folder of a run (its -o OUT).")
    return run


def render(data: RunData) -> str:
    """The page as HTML text."""
    sections = []
    for name, panel in load_panels().items():
        body = panel.render(data)
        if body.strip():
            sections.append({"name": name, "title": panel.title, "body": body})
    plates = sorted({str(plate) for plate in data.fields["Metadata_Plate"].unique()})
    script = page_script()
    return fill(
        "page.html",
        script=Markup(script),  # noqa: S704  # nosec B704  # a file of the package, not data
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        name=", ".join(plate for plate in plates if plate) or data.paths.path.resolve().name,
        version=data.text("nucbatch"),
        sections=sections,
    )


def load_ahead() -> None:
    """Compiles the templates and loads the compiled kernels, for a report that will be written."""
    compile_templates()
    nothing = np.zeros((2, 2), np.uint16)
    picture_within(nothing, 0, 1, 1)
    outline_code(nothing)


def page_script() -> str:
    """The page's script: the package's JavaScript files in one function, which defines nothing global."""
    folder = files("nucbatch.report") / "templates"
    parts = [(folder / name).read_text(encoding="utf-8") for name in _SCRIPTS]
    return "\n".join(['(() => {\n"use strict";', *parts, "})();\n"])
