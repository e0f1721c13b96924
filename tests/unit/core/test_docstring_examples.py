"""Examples in docstrings of the core package run and give the results shown."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from nucbatch import core

MODULES = [module.name for module in pkgutil.iter_modules(core.__path__, "nucbatch.core.")]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_the_core_types_have_examples() -> None:
    attempted = {name: doctest.testmod(importlib.import_module(name)).attempted for name in MODULES}
    shown = ["tiles", "grey_levels", "rle", "plate_geometry"]
    assert all(attempted[f"nucbatch.core.{name}"] for name in shown)
