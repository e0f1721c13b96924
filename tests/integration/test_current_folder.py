"""No process imports from the folder in which a command is given, whichever way it is started.

The folder holds a file named after each library; a file that is imported leaves its name behind.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from nucbatch.synthetic import make_field, make_plate

NAMES = (
    "multiprocessing",
    "numpy",
    "zarr",
    "distributed",
    "torch",
    "click",
    "numba",
    "pandas",
    "socket",
    "nucbatch",
)
COMMAND = str(Path(sys.executable).with_name("nucbatch"))


@pytest.fixture
def traps(tmp_path: Path) -> Path:
    """A folder of files that stand in for libraries."""
    folder = tmp_path / "traps"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(
            f"open({str(tmp_path / 'imported')!r}, 'a').write({name!r} + ' ')\n"
            f"raise ImportError('a trap: {name}')\n"
        )
    return folder


def run_in(folder: Path, *command: str, **environment: str) -> str:
    """What a command prints that is given in a folder, after it has ended well and imported nothing there."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command, cwd=folder, env=kept | environment, capture_output=True, text=True, check=False, timeout=300
    )
    imported = folder.parent / "imported"
    assert not imported.exists(), imported.read_text()
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("started", "environment", "more"),
    [
        ([COMMAND], {}, []),
        ([sys.executable, "-m", "nucbatch"], {}, ["--dry-run"]),  # starts again as the command does
        ([COMMAND], {"PYTHONPATH": ":chosen"}, []),
    ],
    ids=["command", "module", "empty part of PYTHONPATH"],
)
def test_a_run_imports_nothing_from_the_current_folder(
    traps: Path, started: list[str], environment: dict[str, str], more: list[str]
) -> None:
    plate, out = traps.parent / "plate", traps.parent / "out"
    make_plate(plate, wells=("B02", "B03"), sites=1, size_px=96, empty_well="B03", truncated=False)
    if started != [COMMAND] or environment:
        (traps / "nucbatch.py").unlink()  # Python itself looks for it there, before a line of ours runs
    run_in(
        traps,
        *started,
        "run",
        str(plate),
        "-o",
        str(out),
        "--channel",
        "DAPI",
        "--workers",
        "1",
        *more,
        **environment,
    )


SCRIPT = """
import os, signal, sys
from pathlib import Path
from nucbatch.execution.warm_start import PRELOADED, load_ahead
from nucbatch.schedulers.contract import Place, Resources, scheduler

def path_and_files():
    import chosen, multiprocessing, nucbatch, zarr
    return sys.path, [module.__file__ for module in (nucbatch, zarr, multiprocessing)], chosen.__file__

if __name__ == "__main__":
    place = Place(Path("run").absolute(), preload=PRELOADED if "ahead" in sys.argv else ())
    with scheduler("local").connect(Resources(workers=1), place) as cluster:
        first = cluster.client.submit(path_and_files, pure=False).result()
        pid = cluster.client.submit(os.getpid, pure=False).result()
        os.kill(pid, signal.SIGKILL)
        again = cluster.client.submit(path_and_files, pure=False).result()
        import nucbatch, zarr, multiprocessing
        own = [module.__file__ for module in (nucbatch, zarr, multiprocessing)]
        for path, files, chosen in (first, again):
            assert files == own, files
            assert os.getcwd() not in path and "" not in path, path
            print(chosen)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["ahead", "spawned"])
def test_workers_and_their_replacements_have_the_drivers_import_path(traps: Path, how: str) -> None:
    """The script's folder and PYTHONPATH are the user's choice, and hold."""
    scripts, chosen = traps.parent / "scripts", traps.parent / "libraries"
    scripts.mkdir()
    chosen.mkdir()
    (scripts / "script.py").write_text(SCRIPT)
    (chosen / "chosen.py").touch()
    said = run_in(traps, sys.executable, str(scripts / "script.py"), how, PYTHONPATH=str(chosen))
    assert said.split() == [str(chosen / "chosen.py")] * 2


def test_the_module_starts_again_without_the_current_folder(traps: Path) -> None:
    (traps / "nucbatch.py").unlink()  # as above
    assert "nucbatch, version" in run_in(traps, sys.executable, "-m", "nucbatch", "--version")
    assert "nucbatch, version" in run_in(traps, sys.executable, "-E", "-m", "nucbatch", "--version")


@pytest.mark.slow
def test_a_training_under_torchrun_imports_nothing_from_the_current_folder(traps: Path) -> None:
    data = traps.parent / "data"
    for part in ("images", "labels"):
        (data / part).mkdir(parents=True)
    for number in range(4):
        images, labels = make_field(80, np.random.default_rng(number), nuclei=4)
        imagecodecs.imwrite(str(data / "images" / f"f{number}.png"), images[0])
        imagecodecs.imwrite(str(data / "labels" / f"f{number}.png"), labels.astype(np.uint16))
    (traps / "nucbatch.py").unlink()  # as above
    launcher = [str(Path(sys.executable).with_name("torchrun")), "--standalone", "--nproc-per-node", "2"]
    if not Path(launcher[0]).exists():
        launcher[:1] = [sys.executable, "-P", "-m", "torch.distributed.run"]
    recipe = ["--preset", "paper", "--width", "1", "--epochs", "1"]
    run_in(traps, *launcher, "-m", "nucbatch", "train", str(data), "-o", str(traps.parent / "model"), *recipe)


def test_numba_heeds_no_settings_of_the_current_folder(traps: Path) -> None:
    """It unpickles what lies in its cache folder."""
    (traps / ".numba_config.yaml").write_text("cache_dir: here\ncache_locator_classes: evil.Locator\n")
    asked = (
        "import nucbatch.core.jit, numba; "
        "print(repr(numba.config.CACHE_DIR + numba.config.CACHE_LOCATOR_CLASSES))"
    )
    assert run_in(traps, sys.executable, "-P", "-c", asked).strip() == "''"
