"""What README.md says of commands, options, links and numbers is so; test_run.py has what needs a run."""

from __future__ import annotations

import re
import shlex
from importlib.metadata import entry_points
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from nucbatch.cli.main import nucbatch
from nucbatch.core.plate import READ_TIMEOUT_S
from nucbatch.core.tiles import LARGEST_PART_PX
from nucbatch.masks.objects import LARGEST_OBJECT_PX
from nucbatch.planning.plan import BLOCK_PX, LARGEST_FIELD_PX

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> list[list[str]]:
    """Every ``nucbatch ...`` that stands indented as something to type, as words."""
    lines = re.findall(r"^    (?:.*&& )?(nucbatch .*)", README, re.MULTILINE)
    return [shlex.split(line, comments=True)[1:] for line in lines]


def test_every_command_to_type_is_one_and_takes_these_options() -> None:
    assert ["demo"] in commands()
    assert {words[0] for words in commands()} >= {"demo", "inspect", "run"}
    for words in commands():
        shown = CliRunner().invoke(nucbatch, [words[0], "--help"]).output
        assert "Usage:" in shown
        assert set(re.findall(r" (--?[a-z-]+)", " ".join(words))) <= set(re.findall(r"--?[a-z-]+", shown))


def test_every_option_in_running_text_is_one() -> None:
    known: set[str] = {"--help", "--version"}
    typed = [[name] for name in nucbatch.list_commands(click.Context(nucbatch))]
    for words in [*typed, ["models", "show"]]:
        known |= set(re.findall(r"--[a-z-]+", CliRunner().invoke(nucbatch, [*words, "--help"]).output))
    ours = re.sub(r"^    (?:snakemake|python -m) (?:.*\\\n)*.*$", "", README, flags=re.MULTILINE)
    assert set(re.findall(r"--[a-z][a-z-]+", ours)) <= known


def test_every_link_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert {"CONTRIBUTING.md", "CHANGELOG.md"} <= set(links)
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_install_lines_name_extras_and_files_that_exist() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    installs = re.findall(r"^    python -m pip install -c (\S+) '?\.(?:\[(\w+)\])?'?", README, re.MULTILINE)
    assert len(installs) == 2
    for constraints, extra in installs:
        assert (ROOT / constraints).is_file()
        assert not extra or extra in project["optional-dependencies"]
    assert f"Licence: {project['license']}" in README


def test_limits_are_the_ones_in_force() -> None:
    assert f"An image of more than {LARGEST_FIELD_PX:,} px is cut into blocks" in README
    assert f"# blocks of {BLOCK_PX:,} px" in README
    assert f"What spans more than {LARGEST_PART_PX} px falls into its interiors" in README
    assert f"what spans more than {LARGEST_OBJECT_PX:,} px is no nucleus" in README


def test_every_scheduler_is_named() -> None:
    named = set(re.findall(r"--scheduler ([a-z]+)", README))
    points = entry_points(group="nucbatch.schedulers")
    ours = {point.name for point in points if point.dist and point.dist.name == "nucbatch"}
    assert named - {"tls"} == ours - {"address", "local"}
    assert "--scheduler tls://" in README


def test_defaults_in_running_text_are_the_ones_in_force() -> None:
    assert f"(`--read-timeout`, {READ_TIMEOUT_S:g} s)" in README


@pytest.mark.parametrize("shape", [(60, 70), (60, 70, 3)])
def test_the_lines_of_python_give_labels_as_described(shape: tuple[int, ...]) -> None:
    (code,) = re.findall(r"^    (import nucbatch\n    .*)", README, re.MULTILINE)
    names: dict[str, np.ndarray] = {"image": np.full(shape, 9, np.uint8)}
    exec(re.sub(r"^    ", "", code, flags=re.MULTILINE), names)
    assert names["labels"].shape == (60, 70)
    assert names["labels"].dtype == np.uint32
    assert "labels (Y, X) uint32, 1..N" in code


def test_the_models_scores_are_those_of_the_list_of_models() -> None:
    (table,) = re.findall(r"^\| split \|.*\n(?:\|.*\n)+", README, re.MULTILINE)
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    told = dict(zip(head, next(row for row in rows if row[0] == "val"), strict=True))
    listed = CliRunner().invoke(nucbatch, ["models", "list"]).output
    scores = dict(re.findall(r"val ([^,;]+?) ([01]\.\d{3})(?=,|$)", listed, re.MULTILINE))
    assert set(scores) == {"pixel F1", "pixel IoU", "object F1 at 0.5"}
    assert {name: told[name] for name in scores} == scores


def test_the_first_commands_install_what_is_here_and_the_build_of_torch_that_is_tested() -> None:
    pinned = re.search(
        r"^torch==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert pinned is not None
    for path in ("README.md", "docs/index.md", "docs/howto/trouble.md"):
        text = (ROOT / path).read_text(encoding="utf-8")
        assert f"pip install torch=={pinned[1]} --index-url https://download.pytorch.org/whl/cpu" in text
    first = (ROOT / "cluster" / "README.md").read_text(encoding="utf-8").splitlines()[2].strip()
    assert first.startswith("python -m pip install -c constraints.txt '.[slurm]'")
    assert "Linux only" in README
