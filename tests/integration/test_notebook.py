"""The notebook in docs/ is executed: from a drawn plate to its dose curve."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.slow

NOTEBOOK = Path(__file__).parents[2] / "docs" / "tutorial" / "dose-curve.ipynb"
FIGURES = "print(fit['EC50'], assay['ZPrime'], drawn.ec50_nm, len(table), sep=' ')"


@pytest.mark.filterwarnings("default")  # of Jupyter's own libraries
def test_the_notebook_finds_the_curve_that_was_drawn(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(FIGURES))
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    ec50, z_prime, drawn, nuclei = map(float, outputs[-1]["text"].split())
    assert ec50 == pytest.approx(drawn, rel=0.1)
    assert z_prime > 0.5
    assert nuclei > 3
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 2
    assert (tmp_path / "dose-curve.png").stat().st_size > 10_000
    complaints = [output["text"] for output in outputs if output.get("name") == "stderr"]
    assert complaints == []


def test_the_notebook_is_kept_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert not re.search(r"/(home|work|tmp|root|usr)/", NOTEBOOK.read_text(encoding="utf-8"))
