"""Facts in README.md and docs/ are those of the code: commands, options, links, limits, defaults, scores.

`test_docs.py` runs the commands; `test_run.py` compares the run's folder with the README's table.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from nucbatch.cli.main import nucbatch
from nucbatch.core.plate import READ_TIMEOUT_S
from nucbatch.core.tiles import LARGEST_PART_PX
from nucbatch.inference.predict import WHOLE_PX
from nucbatch.masks.objects import LARGEST_OBJECT_PX
from nucbatch.networks.checkpoint import read_card
from nucbatch.networks.locate import shipped
from nucbatch.planning.plan import BLOCK_PX, LARGEST_FIELD_PX

ROOT = Path(__file__).parents[2]
NAMES = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "cluster/README.md",
    "workflows/README.md",
    *sorted(page.relative_to(ROOT).as_posix() for page in (ROOT / "docs").rglob("*.md")),
]
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in NAMES}
README = PAGES["README.md"]
OTHERS = r"(?:snakemake|python -m|pip install|pytest|mkdocs|sbatch|apt-get|bandit|nextflow)"


def commands(text: str) -> list[list[str]]:
    """Every line that starts with ``nucbatch``, indented or in a fenced block, as words without it."""
    joined = text.replace("\\\n", "")
    lines = re.findall(r"^(?:    )?(?:.*&& )?nucbatch ([a-z].*)$", joined, re.MULTILINE)
    typed = nucbatch.list_commands(click.Context(nucbatch))
    found = [
        shlex.split(line, comments=True) for line in lines if line.split()[0] in typed and "…" not in line
    ]
    return [words for words in found if words]


def called(words: list[str]) -> list[str]:
    """The command that the words begin with, and its subcommand if it is a group."""
    command = nucbatch.get_command(click.Context(nucbatch), words[0])
    return words[: 2 if isinstance(command, click.Group) else 1]


def help_of(*words: str) -> str:
    shown = CliRunner().invoke(nucbatch, [*words, "--help"]).output
    assert "Usage:" in shown
    return shown


def text_of(name: str) -> str:
    """The page in one line, so that a sentence is found wherever its lines break."""
    return " ".join(PAGES[name].split())


@pytest.mark.parametrize("name", [name for name in NAMES if commands(PAGES[name])])
def test_every_command_to_type_is_one_and_takes_these_options(name: str) -> None:
    for words in commands(PAGES[name]):
        given = {word for word in words if re.fullmatch(r"--?[a-z][a-z-]*", word)}
        assert given <= set(re.findall(r"--?[a-z][a-z-]*", help_of(*called(words)))), words


def test_the_readme_has_the_commands_that_people_start_with() -> None:
    assert ["demo"] in commands(README)
    assert {words[0] for words in commands(README)} >= {"demo", "inspect", "run", "train", "score"}


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith(("README", "docs/"))])
def test_every_option_in_running_text_is_one(name: str) -> None:
    known = {"--help", "--version"}
    typed = [[command] for command in nucbatch.list_commands(click.Context(nucbatch))]
    for words in [*typed, ["models", "show"], ["models", "save"], ["models", "export"]]:
        known |= set(re.findall(r"--[a-z-]+", help_of(*words)))
    ours = re.sub(rf"^.*\b{OTHERS} (?:.*\\\n)*.*$", "", PAGES[name], flags=re.MULTILINE)
    ours = re.sub(r"torchrun --nproc-per-node", "", ours)
    assert set(re.findall(r"(?<!\w)--[a-z][a-z-]+", ours)) <= known


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name: str) -> None:
    """Headings are checked by the strict build of the site."""
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", PAGES[name]) if "://" not in link]
    folder = (ROOT / name).parent
    assert [link for link in links if not (folder / link).exists()] == []


def test_the_readme_links_what_people_look_for() -> None:
    links = set(re.findall(r"\]\(([^)]+)\)", README))
    assert {"CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docs/model.md", "docs/benchmarks.md"} <= links


@pytest.mark.parametrize("name", NAMES)
def test_files_and_modules_that_pages_name_exist(name: str) -> None:
    """In code style: paths below the project's folders, and ``python -m benchmarks.…``."""
    paths = re.findall(
        r"`((?:nucbatch|tests|benchmarks|docs|cluster|workflows|trainings)/[\w./-]+)`", PAGES[name]
    )
    assert [path for path in paths if not (ROOT / path).exists()] == []
    modules = re.findall(r"python -m benchmarks\.(\w+)", PAGES[name])
    modules += re.findall(r"`(bench_\w+)`", PAGES[name])
    assert [module for module in modules if not (ROOT / "benchmarks" / f"{module}.py").is_file()] == []


def test_the_readme_on_a_package_index_has_no_links_that_lead_nowhere() -> None:
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]
    text = README
    for one in hatch["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(one["pattern"], one["replacement"], text)
    assert re.findall(r"\]\((?!https?://)[^)]*\)", text) == []
    shipped_with_the_source = set(hatch["build"]["targets"]["sdist"]["include"])
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert {link.split("/")[0] for link in links} <= shipped_with_the_source


def test_install_lines_name_extras_and_files_that_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    installs = re.findall(r"^python -m pip install -c (\S+) '?\.(?:\[(\w+)\])?'?$", README, re.MULTILINE)
    assert [extra for _, extra in installs] == ["", "test"]
    for constraints, _ in installs:
        assert (ROOT / constraints).is_file()
    extras = {extra for text in PAGES.values() for extra in re.findall(r"'\.\[(\w+)\]'", text)}
    assert extras >= {"test", "cuda", "slurm", "docs"}
    assert extras <= set(project["optional-dependencies"])
    assert f"Licence: {project['license']}" in README


def test_the_order_of_imports_is_the_one_that_is_enforced() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = [one for one in project["tool"]["importlinter"]["contracts"] if one["type"] == "layers"]
    layers = [layer.replace("nucbatch.", "") for layer in contract["layers"]]
    assert "\n".join(layer for layer in layers if layer != "version") in PAGES["CONTRIBUTING.md"]


def test_limits_are_the_ones_in_force() -> None:
    large, blocks = text_of("docs/howto/large-image.md"), text_of("docs/explanation/blocks.md")
    assert f"An image with a side of more than {LARGEST_FIELD_PX:,} px is cut into blocks" in large
    assert f"# blocks of {BLOCK_PX:,} px" in large
    assert f"A component that spans more than {LARGEST_PART_PX} px is split into its interiors" in blocks
    assert f"An object that spans more than {LARGEST_OBJECT_PX:,} px is no nucleus" in blocks
    for name in ("docs/benchmarks.md", "docs/reference/outputs.md"):
        assert f"of up to {WHOLE_PX:,} px" in text_of(name)


def test_every_scheduler_is_named() -> None:
    points = entry_points(group="nucbatch.schedulers")
    ours = {point.name for point in points if point.dist and point.dist.name == "nucbatch"}
    for pages in (["README.md"], ["docs/howto/slurm.md", "docs/howto/gpu.md"]):
        text = "".join(PAGES[name] for name in pages)
        assert set(re.findall(r"--scheduler ([a-z]+)", text)) - {"tls"} == ours - {"address", "local"}
        assert "--scheduler tls://" in text


def test_the_table_of_readers_has_each_with_its_priority() -> None:
    points = entry_points(group="nucbatch.readers")
    readers = [point.load() for point in points if point.dist and point.dist.name == "nucbatch"]
    table = re.findall(r"^\| (\d+) \| `(\w+)` \|", PAGES["CONTRIBUTING.md"], re.MULTILINE)
    assert table == [
        (str(reader.priority), reader.name)
        for reader in sorted(readers, key=lambda reader: (reader.priority, reader.name))
    ]


def test_defaults_in_running_text_are_the_ones_in_force() -> None:
    assert f"(`--read-timeout`, {READ_TIMEOUT_S:g} s)" in text_of("docs/explanation/failures.md")


@pytest.mark.parametrize("shape", [(60, 70), (60, 70, 3)])
def test_the_lines_of_python_give_labels_as_described(shape: tuple[int, ...]) -> None:
    (code,) = re.findall(r"^```python\n(import nucbatch as nb\n\n.+\n)", README, re.MULTILINE)
    names: dict[str, np.ndarray] = {"image": np.full(shape, 9, np.uint8)}
    exec(code, names)
    assert names["labels"].shape == (60, 70)
    assert names["labels"].dtype == np.uint32
    assert "labels (Y, X) uint32, 1..N" in code


def scores() -> dict[str, dict[str, str]]:
    """The model page's table of scores: split → column → figure."""
    (table,) = re.findall(r"^\| split \|.*\n(?:\|.*\n)+", PAGES["docs/model.md"], re.MULTILINE)
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {row[0]: dict(zip(head, row, strict=True)) for row in rows}


def test_the_models_scores_are_those_of_the_list_of_models() -> None:
    listed = CliRunner().invoke(nucbatch, ["models", "list"]).output
    figures = dict(re.findall(r"val ([^,;]+?) ([01]\.\d{3})(?=,|$)", listed, re.MULTILINE))
    assert set(figures) == {"pixel F1", "pixel IoU", "object F1 at 0.5"}
    assert {name: scores()["val"][name] for name in figures} == figures


def test_the_readmes_scores_are_those_of_the_models_page() -> None:
    all_images, fluorescence = scores()["test, Bowl"], scores()["test, fluorescence"]
    columns = ("pixel F1", "object F1 at 0.5", "mean AP")
    first, second, third = (all_images[name] for name in columns)
    assert f"pixel F1 {first}, object F1 {second} at IoU 0.5, and mean AP {third}" in text_of("README.md")
    first, second, third = (fluorescence[name] for name in columns)
    assert f"{first}, {second} and {third}" in text_of("README.md")


def test_the_size_of_nuclei_is_the_one_on_the_models_card() -> None:
    diameter = read_card(shipped()["default"]).nucleus_diameter_px
    assert diameter is not None
    for name in ("README.md", "docs/model.md", "docs/howto/your-plate.md"):
        assert f"about {diameter:.0f} px across" in text_of(name)


def test_the_first_commands_install_what_is_here_and_the_build_of_torch_that_is_tested() -> None:
    pinned = re.search(
        r"^torch==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert pinned is not None
    for name in ("README.md", "docs/index.md", "docs/howto/trouble.md"):
        assert (
            f"pip install torch=={pinned[1]} --index-url https://download.pytorch.org/whl/cpu" in PAGES[name]
        )
    first = PAGES["cluster/README.md"].splitlines()[2].strip()
    assert first.startswith("python -m pip install -c constraints.txt '.[slurm]'")
    assert "Linux only" in README
