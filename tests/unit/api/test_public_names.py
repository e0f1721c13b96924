"""``import nucbatch`` is fast, and shows exactly its functions; their examples run."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pydoc
import re
import subprocess
import sys

import click
import pytest

import nucbatch
from nucbatch.api.run_keywords import SchedulerOptions
from nucbatch.cli.run import run as run_command
from nucbatch.cli.train import train as train_command

NAMES = [
    "measure",
    "models",
    "open_run",
    "run",
    "score",
    "segment",
    "segment_dask",
    "suggest",
    "train",
    "view",
]
QUICK = ["measuring", "models", "run_keywords", "scores", "segmenting"]


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
    assert result.attempted > 0
    assert result.failed == 0


KINDS_OF_FALSE = (None, False, "", ())
ANOTHER_DEFAULT = {"diameter": "auto"}  # the command line's default says the same in its help


def options_of(command: click.Command) -> dict[str, object]:
    """Default of each option of a command, by its name with underscores."""
    left_out = {"help", "verbose", "quiet", "out", "dry_run"}
    named = {
        max(one.opts, key=len).removeprefix("--").replace("-", "_"): one.default
        for one in command.params
        if isinstance(one, click.Option)
    }
    return {name: default for name, default in named.items() if name not in left_out}


def test_keywords_of_run_are_the_options_of_the_command_line_with_their_defaults() -> None:
    parameters = inspect.signature(nucbatch.run).parameters
    own = {"plate", "out", "progress", "scheduler_options"}
    keywords = {name: one.default for name, one in parameters.items() if name not in own}
    options = options_of(run_command)
    options["plate_name"] = options.pop("plate")  # in Python ``plate`` is the input
    schedulers = set(SchedulerOptions.__annotations__)
    assert set(keywords) | schedulers == set(options)
    for name, default in keywords.items():
        given = ANOTHER_DEFAULT.get(name, options[name])
        assert default == given or (default in KINDS_OF_FALSE and is_unset(given)), name


def test_keywords_of_train_are_the_options_of_the_command_line() -> None:
    keywords = set(inspect.signature(nucbatch.train).parameters) - {"data", "out", "progress"}
    assert {name.removesuffix("_") for name in keywords} == set(options_of(train_command)) - {"seeds"}


def test_keywords_of_segment_and_segment_dask_are_those_of_run() -> None:
    one, other = (
        inspect.signature(function).parameters for function in (nucbatch.segment, nucbatch.segment_dask)
    )
    assert list(one)[1:] == list(other)[1:]
    assert set(one) - {"image", "axes"} <= set(inspect.signature(nucbatch.run).parameters)


def is_unset(default: object) -> bool:
    """Whether an option has no default; newer versions of Click mark this by a value of their own."""
    return default in KINDS_OF_FALSE or "UNSET" in repr(default)
