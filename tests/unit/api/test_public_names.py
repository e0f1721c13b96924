"""``import nucbatch`` is fast, and shows exactly its functions; their examples run."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pydoc
import re
import subprocess
import sys

import pytest

import nucbatch

NAMES = ["measure", "models", "open_run", "run", "score", "segment", "segment_dask", "train"]
QUICK = ["measuring", "models", "scores", "segmenting"]


def test_dir_and_help_list_exactly_the_functions() -> None:
    assert dir(nucbatch) == ["__version__", *NAMES]
    shown = pydoc.plain(pydoc.render_doc(nucbatch))
    functions = shown.partition("\nFUNCTIONS\n")[2].partition("\nVERSION\n")[0]
    assert re.findall(r"^    (\w+)\(", functions, re.MULTILINE) == NAMES
    assert set(re.findall(r"\bnb\.(\w+)\(", nucbatch.__doc__ or "")) == set(NAMES)


def test_every_argument_is_documented() -> None:
    for name in NAMES:
        function = getattr(nucbatch, name)
        text = inspect.getdoc(function) or ""
        for argument in inspect.signature(function).parameters:
            assert re.search(rf"^    {argument}: ", text, re.MULTILINE), f"{name}({argument})"


def test_the_import_loads_no_heavy_library() -> None:
    heavy = "{'torch', 'dask', 'zarr', 'numpy', 'pandas', 'numba', 'scipy', 'pydantic'}"
    code = f"import nucbatch, sys; dir(nucbatch); print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", [*(f"nucbatch.api.{name}" for name in QUICK), "nucbatch.execution.dask_api"])
def test_examples_in_docstrings(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 1
    assert result.failed == 0
