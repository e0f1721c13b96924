"""The examples in the docstrings of the readers hold."""

import doctest

import pytest

from nucbatch.core import pixel_size
from nucbatch.readers import copies, foreign_images, listing, planes_apart, rules
from nucbatch.readers.layouts import name_columns


@pytest.mark.parametrize(
    "module", [copies, foreign_images, listing, name_columns, pixel_size, planes_apart, rules]
)
def test_examples_hold(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
