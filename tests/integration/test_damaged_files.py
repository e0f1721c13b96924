"""Every file that a run leaves, damaged in every way: the same command again ends with the same bytes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner, Result
from distributed import LocalCluster

from nucbatch.cli.main import nucbatch
from nucbatch.store.run_folder import RunFolder
from nucbatch.synthetic import make_field, make_plate

pytestmark = pytest.mark.slow

Damage = Callable[[Path], object]

DAMAGES: dict[str, Damage] = {
    "removed": Path.unlink,
    "emptied": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
}
TIMES = ("run.json", "report.html")  # they say how long it took


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """A worker that stays, so that a run of two fields takes a second."""
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster:
        yield cluster.scheduler_address


@dataclass(frozen=True)
class Given:
    """A finished run, and the command that made it."""

    source: Path
    folder: RunFolder
    options: tuple[str, ...]
    results: dict[str, bytes]

    def again(self, out: Path, *more: str) -> Result:
        return run(self.source, out, *self.options, *more)


def run(source: Path, out: Path, *options: str) -> Result:
    return CliRunner().invoke(nucbatch, ["run", str(source), "-o", str(out), *options])


def given(source: Path, out: Path, *options: str) -> Given:
    made = run(source, out, *options)
    assert made.exit_code == 0, made.output
    return Given(source, RunFolder(out), options, results(out))


def results(out: Path) -> dict[str, bytes]:
    """All that a run leaves for others, but for the account of how it ran."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and ".nucbatch" not in path.parts and path.name not in TIMES
    }


def files(out: Path) -> list[Path]:
    return sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def plate(scheduler: str, tmp_path_factory: pytest.TempPathFactory) -> Given:
    """Two wells, one of them empty; masks as Zarr and as TIFF."""
    folder = tmp_path_factory.mktemp("plate")
    make_plate(
        folder / "in", wells=("B02", "C03"), sites=1, size_px=340, channels=("DAPI",), empty_well="C03",
        truncated=False, thumbnails=False,
    )  # fmt: skip
    options = ("--channel", "DAPI", "--labels", "both", "--scheduler", scheduler)
    return given(folder / "in", folder / "out", *options)


@pytest.fixture(scope="module")
def slide(scheduler: str, tmp_path_factory: pytest.TempPathFactory) -> Given:
    """An image of several blocks, some of them empty."""
    folder = tmp_path_factory.mktemp("slide")
    images, _ = make_field(400, np.random.default_rng(8), nuclei=40, channels=1)
    picture = np.full((700, 640), int(np.median(images[0])), np.uint16)
    picture[:400, :400] = images[0]
    tifffile.imwrite(folder / "slide.tif", picture, tile=(256, 256))
    options = ("--labels", "both", "--block-size", "256", "--scheduler", scheduler)
    return given(folder / "slide.tif", folder / "out", *options)


def kind(path: Path) -> str:
    """Files that differ in well, field, level or chunk alone are of one kind."""
    return re.sub(r"B/2|C/3|B02|C03|(?<=/)\d+(?=/|\.|$)|c\.[\d.]+|T\d+Z", "*", path.as_posix())


def takers(found: list[Path], damage: str) -> list[Path]:
    """The files to which a damage is done: each kind takes each damage, and files of a kind share them."""
    kinds: dict[str, list[Path]] = {}
    for path in found:
        kinds.setdefault(kind(path), []).append(path)
    turn, taken = list(DAMAGES).index(damage), set()
    for alike in kinds.values():
        share = 1 if len(alike) == 1 else 2 if len(alike) < len(DAMAGES) else len(DAMAGES)
        taken.update(path for place, path in enumerate(alike) if (place - turn) % share == 0)
    return [path for path in found if path in taken]


def rounds(found: list[Path], group: Callable[[str], str]) -> Iterator[list[Path]]:
    """One file of each group at a time."""
    groups: dict[str, list[Path]] = {}
    for path in found:
        groups.setdefault(group(path.as_posix()), []).append(path)
    for index in range(max(map(len, groups.values()))):
        yield [members[index] for members in groups.values() if index < len(members)]


def by_field(path: str) -> str:
    """Two fields, the run's records, and what it says of the plate."""
    if any(name in path for name in ("B02", "B/2")):
        return "B02"
    if any(name in path for name in ("C03", "C/3")):
        return "C03"
    return "records" if path.startswith(".nucbatch") else "plate"


def by_image(path: str) -> str:
    """What is made with the image's pixels, each file by itself, and what is made without."""
    return "image" if "slide" in path or path.startswith("images.zarr") else "other"


def damaged_by_turns(run: Given, out: Path, damage: str, group: Callable[[str], str]) -> None:
    """Damages one file of each group in turn, and resumes the run after each turn."""
    shutil.copytree(run.folder.path, out)
    for turn in rounds(takers(files(run.folder.path), damage), group):
        for path in turn:
            if (out / path).exists():  # a lock or a log may be gone
                DAMAGES[damage](out / path)
        again = run.again(out)
        assert again.exit_code == 0, (turn, again.output, again.exception)
        assert results(out) == run.results, turn


def test_every_file_takes_a_damage_and_every_kind_takes_all(plate: Given, slide: Given) -> None:
    for run, kinds in ((plate, 27), (slide, 33)):
        found = files(run.folder.path)
        taken = {damage: takers(found, damage) for damage in DAMAGES}
        assert set(found) == {path for paths in taken.values() for path in paths}
        for paths in taken.values():
            assert {kind(path) for path in paths} == {kind(path) for path in found}
        assert len({kind(path) for path in found}) >= kinds


@pytest.mark.parametrize("damage", DAMAGES)
def test_any_file_of_a_plate(plate: Given, tmp_path: Path, damage: str) -> None:
    damaged_by_turns(plate, tmp_path / "out", damage, by_field)


@pytest.mark.parametrize("damage", DAMAGES)
def test_any_file_of_a_large_image(slide: Given, tmp_path: Path, damage: str) -> None:
    damaged_by_turns(slide, tmp_path / "out", damage, by_image)


OTHER = ("--foreground", "0.6")


@pytest.fixture(scope="module")
def otherwise(slide: Given, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The results of the large image with another threshold."""
    return given(slide.source, tmp_path_factory.mktemp("other") / "out", *slide.options, *OTHER).results


@pytest.mark.parametrize("damage", DAMAGES)
def test_any_file_that_a_large_image_keeps_for_other_thresholds(
    slide: Given, otherwise: dict[str, bytes], tmp_path: Path, damage: str
) -> None:
    out = tmp_path / "out"
    scratch = [path for path in files(slide.folder.path) if "scratch" in path.parts]
    assert len(scratch) >= 7
    for path in takers(scratch, damage):
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(slide.folder.path, out)
        DAMAGES[damage](out / path)
        again = slide.again(out, *OTHER, "--reuse-probabilities")
        assert again.exit_code == 0, (path, again.output, again.exception)
        assert results(out) == otherwise, path
