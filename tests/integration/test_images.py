"""The recipes for images: they hand over what an installation needs, and nothing of this place."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTAINERFILE = (ROOT / "Containerfile").read_text(encoding="utf-8")
DEFINITION = (ROOT / "cluster" / "apptainer" / "nucbatch.def").read_text(encoding="utf-8")
INSTALL = ROOT / "cluster" / "apptainer" / "install.sh"
SOURCE = Path("/opt/source")


def section(name: str) -> str:
    """One of the definition's sections, without its head."""
    return re.split(r"^%\w+.*\n", DEFINITION, flags=re.MULTILINE)[
        re.findall(r"^%(\w+)", DEFINITION, re.MULTILINE).index(name) + 1
    ]


def handed_over(recipe: str) -> dict[str, str]:
    """What a recipe copies, from the top of the source to a path in the image."""
    if recipe == "apptainer":
        return dict(line.split() for line in section("files").splitlines() if line.strip())
    copies = {}
    for line in re.findall(r"^COPY (.*)$", CONTAINERFILE, re.MULTILINE):
        *sources, target = line.split()
        for one in sources:
            copies[one] = str(Path(target) / Path(one).name) if target.endswith("/") else target
    return copies


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["apptainer", "containerfile"])
def test_a_recipe_copies_enough_to_build_the_package(recipe: str, tmp_path: Path) -> None:
    copies = handed_over(recipe)
    assert str(SOURCE / "install.sh") in copies.values()
    for one, target in copies.items():
        place = tmp_path / "source" / Path(target).relative_to(SOURCE)
        place.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / one).is_dir() else shutil.copyfile)(ROOT / one, place)
    asked = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path)]
    subprocess.run([*asked, str(tmp_path / "source")], check=True)
    (wheel,) = tmp_path.glob("nucbatch-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "nucbatch/networks/weights/default.safetensors" in names
    assert (tmp_path / "source" / "constraints.txt").is_file()


def test_both_recipes_install_alike() -> None:
    assert set(handed_over("apptainer").items()) == set(handed_over("containerfile").items())
    step = f"sh {SOURCE}/install.sh {SOURCE}"
    assert step in section("post")
    assert step in CONTAINERFILE
    (base,) = re.findall(r"^FROM (.*)$", CONTAINERFILE, re.MULTILINE)
    assert f"From: {base}\n" in DEFINITION


def test_the_image_runs_as_an_ordinary_user() -> None:
    last_user = re.findall(r"^USER (.*)$", CONTAINERFILE, re.MULTILINE)[-1]
    assert last_user not in ("root", "0")
    assert CONTAINERFILE.index("USER ") < CONTAINERFILE.index('ENTRYPOINT ["nucbatch"]')


@pytest.mark.parametrize("name", ["post", "environment", "runscript", "test"])
def test_every_section_is_shell(name: str) -> None:
    subprocess.run(["sh", "-n"], input=section(name), text=True, check=True)


def test_versions_are_the_ones_tested_and_no_host_is_named() -> None:
    subprocess.run(["sh", "-n", str(INSTALL)], check=True)
    install = INSTALL.read_text(encoding="utf-8")
    assert '-c "$source/constraints.txt"' in install
    for text in (install, CONTAINERFILE, DEFINITION):
        assert not re.search(r"https?://|\w+\.(org|io|com)\b", text)
