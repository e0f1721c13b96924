"""The documentation's commands and Python lines run as they stand, and its tables name every column."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
import tifffile
from click.testing import CliRunner

from nucbatch.cli.main import nucbatch
from nucbatch.synthetic.field import make_field

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = {str(page.relative_to(DOCS)): page.read_text(encoding="utf-8") for page in sorted(DOCS.rglob("*.md"))}
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUNNABLE = [
    name for name, text in PAGES.items() if {"bash", "python"} & {kind for kind, _ in BLOCK.findall(text)}
]
REAL = "tutorial/plate.md"


def lines_that_call_nucbatch(text: str) -> list[list[str]]:
    """Every ``nucbatch COMMAND …`` in the page's blocks, as words without the program's name."""
    commands = nucbatch.list_commands(click.Context(nucbatch))
    calls = re.compile(rf"\bnucbatch ((?:{'|'.join(commands)})\b[^|;…]*)")
    blocks = [block for kind, block in BLOCK.findall(text) if kind in ("bash", "text")]
    found = [calls.search(line) for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(match[1], comments=True) for match in found if match]


@pytest.mark.parametrize("page", [name for name in PAGES if lines_that_call_nucbatch(PAGES[name])])
def test_every_command_takes_the_options_that_a_page_gives_it(page: str) -> None:
    for words in lines_that_call_nucbatch(PAGES[page]):
        command = nucbatch.get_command(click.Context(nucbatch), words[0])
        called = words[: 2 if isinstance(command, click.Group) else 1]
        shown = CliRunner().invoke(nucbatch, [*called, "--help"]).output
        given = {word for word in words if re.fullmatch(r"--?[a-z][a-z-]*", word)}
        assert given <= set(re.findall(r"--?[a-z][a-z-]*", shown)), words


@pytest.fixture
def prepared(tmp_path: Path, write_field: Callable[[Path, str, int, int], None]) -> Path:
    """A folder with what the pages assume: labelled images in LAB, and two small plates in SCREEN."""
    for kind in ("images", "labels"):
        (tmp_path / "LAB" / kind).mkdir(parents=True)
    for seed in range(6):
        images, labels = make_field(128, np.random.default_rng(seed), nuclei=8)
        tifffile.imwrite(tmp_path / "LAB" / "images" / f"{seed}.tif", images[0])
        tifffile.imwrite(tmp_path / "LAB" / "labels" / f"{seed}.tif", labels.astype(np.uint16))
    for plate in ("one", "two"):
        (tmp_path / "SCREEN" / plate).mkdir(parents=True)
        write_field(tmp_path / "SCREEN" / plate, "B02_1", seed=1, side=128)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", [name for name in RUNNABLE if name != REAL])
def test_commands_on_a_page_work(page: str, prepared: Path) -> None:
    run_blocks(PAGES[page], prepared)


@pytest.fixture(scope="module")
def real_run(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """The folder in which the tutorial's commands ran on a real plate."""
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / "BBBC013").symlink_to(shared_data / "plates" / "sbs96")
    run_blocks(PAGES[REAL], folder)
    return folder


@pytest.mark.slow
@pytest.mark.real_data
def test_the_tutorial_on_a_real_plate_works(real_run: Path) -> None:
    missing = columns_of(real_run / "out") - documented_columns()
    assert missing == set()


@pytest.mark.slow
@pytest.mark.real_data
def test_the_assay_of_a_real_plate_is_read_out_as_its_page_says(real_run: Path, tmp_path: Path) -> None:
    page, out = PAGES["howto/assay.md"], tmp_path / "out"
    shutil.copytree(real_run / "out", out)
    (words,) = (words for words in lines_that_call_nucbatch(page) if words[0] == "run")
    table = str(real_run / words[words.index("--metadata") + 1])
    described = ["report", str(out), "--metadata", table, *words[words.index("--metadata") + 2 :]]
    shown = CliRunner().invoke(nucbatch, described).output
    lines = [line for kind, block in BLOCK.findall(page) for line in block.splitlines() if kind == "text"]
    lines = [line for line in lines if line[:4] in ("Z' 0", "A-D:", "E-H:")]
    number = re.compile(r"best of \d+")  # grows with every measurement that is added
    assert [number.sub("best of", line) for line in lines] == [
        number.sub("best of", line) for line in shown.splitlines()[:3]
    ]
    log_ratio, ratio = (f"Nuclei_Math_{name}NucleusCytoplasmRatio_Channel1" for name in ("Log2", ""))
    assay = pd.read_csv(out / "assay.csv").set_index(["Series", "Measure"])["ZPrime"]
    assert assay["A-D", f"Mean_{log_ratio}"] >= 0.8
    assert assay["E-H", f"Mean_{log_ratio}"] >= 0.6
    assert [round(assay[rows, f"Median_{ratio}"], 2) for rows in ("A-D", "E-H")] == [0.88, 0.68]
    wells = pd.read_csv(out / "wells.csv")
    first = (
        wells[wells["Metadata_AssaySeries"] == "A-D"].groupby("Metadata_SBS_Doses")[f"Median_{ratio}"].mean()
    )
    assert (round(first[0], 2), round(first[10], 2)) == (0.74, 6.38)
    doses = pd.read_csv(out / "doses.csv")
    assert doses["Axis"].tolist() == ["step", "step"]
    assert doses[["EC50", "EC50_Low", "EC50_High"]].isna().all(axis=None)


def run_blocks(text: str, folder: Path) -> None:
    """Runs the page's bash and Python blocks one after the other; the first that fails ends it."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for kind, block in BLOCK.findall(text):
        if kind not in ("bash", "python"):
            continue
        command = (
            ["bash", "-euo", "pipefail", "-c", block] if kind == "bash" else [sys.executable, "-c", block]
        )
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"


def columns_of(out: Path) -> set[str]:
    """All columns of a run's tables, with ``<Channel>`` and ``<measurement>`` for names that vary."""
    columns = set(pd.read_csv(out / "wells.csv").columns) | set(pd.read_csv(out / "files.csv").columns)
    for name in ("nuclei", "fields"):
        columns |= set(pd.read_parquet(out / f"{name}.parquet").columns)
    columns = {
        re.sub(r"^(Mean|Median|StDev)_(?:Nuclei|Cytoplasm)_.*", r"\1_<measurement>", name) for name in columns
    }
    foreign = re.compile(
        r"Nuclei_(?!(AreaShape|Intensity|Location|Correlation|Math|Neighbors)_)"
    )  # measurements of other packages
    named = {
        re.sub(r"_Channel1_Channel2$", "_<C1>_<C2>", name) for name in columns if not foreign.match(name)
    }
    return {re.sub(r"_Channel[12]$", "_<Channel>", name) for name in named}


def documented_columns() -> set[str]:
    """Every name in code style in the first cell of a table row of the reference."""
    rows = re.findall(r"^\| (`[^|]*) \|", PAGES["reference/outputs.md"], re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
