"""The documentation's tables of layouts are what opening the plates gives."""

import importlib.util
import sys
from pathlib import Path

import pytest
from golden import all_trees

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "tables" / "write_layouts.py"


def load_script():
    spec = importlib.util.spec_from_file_location("write_layouts", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


WRITER = load_script()
PAGE = WRITER.PAGE.read_text(encoding="utf-8")


def test_the_golden_trees_are_read_as_the_page_says():
    """If not: python docs/tables/write_layouts.py."""
    golden, real = WRITER.parts_of(PAGE)
    assert golden == WRITER.golden_table(all_trees())
    assert WRITER.page(golden, real) == PAGE


@pytest.mark.real_data
def test_the_real_plates_are_read_as_the_page_says(shared_data):
    """If not: python docs/tables/write_layouts.py."""
    assert WRITER.parts_of(PAGE)[1] == WRITER.real_table(shared_data / "plates")
