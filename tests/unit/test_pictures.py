"""The two pictures of the code in CONTRIBUTING.md show functions that exist and that call each other."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docs" / "pictures" / "draw_ways.py"


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_ways", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


SCRIPT_MODULE = script()
WAYS = {way.name: way for way in SCRIPT_MODULE.WAYS}
each_way = pytest.mark.parametrize("name", WAYS)


def source(file: str) -> str:
    return (ROOT / "nucbatch" / file).read_text(encoding="utf-8")


def defined(file: str) -> set[str]:
    """Functions of a file, methods as ``Class.method``."""
    names: set[str] = set()
    for node in ast.parse(source(file)).body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
    return names


@each_way
def test_every_file_and_function_exists(name: str) -> None:
    way = WAYS[name]
    steps = [*way.driver, *way.worker, *way.last]
    assert len(steps) > 20
    missing = [(step.file, set(step.functions) - defined(step.file)) for step in steps]
    assert [one for one in missing if one[1]] == []


@each_way
def test_every_box_is_called_by_the_box_that_it_hangs_from(name: str) -> None:
    way = WAYS[name]
    for column in (way.driver, way.worker):
        for index, step in enumerate(column[1:], 1):
            above = next(one for one in reversed(column[:index]) if one.depth < step.depth)
            caller = source(step.named_in or above.file)
            called = {function.split(".")[-1] for function in step.functions}
            assert called & set(re.findall(r"\w+", caller)), f"{above.file} doesn't call {step.functions}"


@each_way
def test_the_picture_is_what_the_script_draws(name: str) -> None:
    """If not: python docs/pictures/draw_ways.py."""
    drawn = SCRIPT_MODULE.drawn(WAYS[name])
    assert (SCRIPT.parent / f"{name}.svg").read_text(encoding="utf-8") == drawn
    for path in ("CONTRIBUTING.md", "docs/explanation/code.md"):
        assert f"pictures/{name}.svg)" in (ROOT / path).read_text(encoding="utf-8")


def test_classes_sent_between_the_columns_exist() -> None:
    names = {way.sent for way in WAYS.values()} | {way.returned for way in WAYS.values()}
    files = "".join(
        source(file) for file in ("execution/field_task.py", "execution/large/unit.py", "store/receipt.py")
    )
    assert {name for name in names if not re.search(rf"^class {name}\b", files, re.MULTILINE)} == set()
