"""Every file that a run leaves, damaged in every way: the same command again ends with the same bytes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
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


def rounds(out: Path) -> Iterator[list[Path]]:
    """All files of a run, one of each field and one other at a time."""
    groups: dict[str, list[Path]] = {}
    for path in files(out):
        field = next((name for name in ("B02", "C03", "B/2", "C/3") if name in path.as_posix()), "other")
        groups.setdefault({"B/2": "B02", "C/3": "C03"}.get(field, field), []).append(path)
    for index in range(max(map(len, groups.values()))):
        yield [group[index] for group in groups.values() if index < len(group)]


def damaged_by_turns(run: Given, out: Path, damage: str, groups: Iterable[list[Path]]) -> int:
    """Damages each group of files in turn and resumes the run after each; returns how many were damaged."""
    shutil.copytree(run.folder.path, out)
    damaged = 0
    for group in groups:
        for path in group:
            if (out / path).exists():  # a lock or a log may be gone
                DAMAGES[damage](out / path)
                damaged += 1
        again = run.again(out)
        assert again.exit_code == 0, (group, again.output, again.exception)
        assert results(out) == run.results, group
    return damaged


@pytest.mark.parametrize("damage", DAMAGES)
def test_any_file_of_a_plate(plate: Given, tmp_path: Path, damage: str) -> None:
    assert damaged_by_turns(plate, tmp_path / "out", damage, rounds(plate.folder.path)) > 35


@pytest.mark.parametrize("damage", DAMAGES)
def test_any_file_of_a_large_image(slide: Given, tmp_path: Path, damage: str) -> None:
    each = ([path] for path in files(slide.folder.path))
    assert damaged_by_turns(slide, tmp_path / "out", damage, each) > 30


@pytest.mark.parametrize("damage", DAMAGES)
def test_any_file_that_a_large_image_keeps_for_other_thresholds(
    slide: Given, tmp_path: Path, damage: str
) -> None:
    out, other = tmp_path / "out", ("--foreground", "0.6")
    wanted = given(slide.source, tmp_path / "fresh", *slide.options, *other).results
    scratch = [path for path in files(slide.folder.path) if "scratch" in path.parts]
    assert len(scratch) >= 7
    for path in scratch:
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(slide.folder.path, out)
        DAMAGES[damage](out / path)
        again = slide.again(out, *other, "--reuse-probabilities")
        assert again.exit_code == 0, (path, again.output, again.exception)
        assert results(out) == wanted, path
