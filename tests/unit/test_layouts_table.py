"""The documentation's tables of layouts are what opening the plates gives."""

import pytest
import write_layouts as writer
from golden import all_trees

PAGE = writer.PAGE.read_text(encoding="utf-8")


def test_the_golden_trees_are_read_as_the_page_says():
    """If not: python tests/write_layouts.py."""
    golden, real = writer.parts_of(PAGE)
    assert golden == writer.golden_table(all_trees())
    assert writer.page(golden, real) == PAGE


@pytest.mark.real_data
def test_the_real_plates_are_read_as_the_page_says(shared_data):
    """If not: python tests/write_layouts.py."""
    assert writer.parts_of(PAGE)[1] == writer.real_table(shared_data / "plates")
