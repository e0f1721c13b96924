"""The driver of a run never loads PyTorch: it asks a process beside it what it must know of the network."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import nucbatch
from nucbatch.synthetic import make_plate

_RUN = """
import sys
import nucbatch

if __name__ == "__main__":
    nucbatch.run(*sys.argv[1:], channel="DAPI")
    print("torch" in sys.modules)
"""


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plates") / "plate"
    make_plate(folder, wells=["B02"], sites=2, size_px=128, truncated=False, thumbnails=False)
    return folder


def python(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, check=False, timeout=300
    )


@pytest.mark.slow
def test_a_run_on_this_machine_gives_the_same_without_pytorch_in_its_driver(
    plate: Path, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(_RUN)
    done = python(script, plate, tmp_path / "apart")
    assert done.stdout.splitlines()[-1:] == ["False"], done.stderr
    import_module("torch")  # so that nothing is asked of another process
    nucbatch.run(plate, tmp_path / "here", channel="DAPI")
    for name in ("wells.csv", "nuclei.parquet"):
        assert (tmp_path / "apart" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()


def test_no_module_of_the_driver_loads_pytorch() -> None:
    modules = "nucbatch.execution.session, nucbatch.execution.finalise, nucbatch.report.page"
    done = python("-c", f"import sys, {modules}; sys.exit('torch' in sys.modules)")
    assert done.returncode == 0, done.stderr


_PREPARE = """
import sys
from pathlib import Path
from nucbatch.core.errors import NucbatchError
from nucbatch.core.settings import RunSettings
from nucbatch.execution.prepared import prepare
from nucbatch.readers.find import open_plate

try:
    prepared = prepare(open_plate(Path(sys.argv[1])), RunSettings(channel="DAPI", model=sys.argv[2]))
except NucbatchError as error:
    print(type(error).__name__, error)
else:
    print(prepared.card.name, prepared.grid, prepared.memory_width)
assert "torch" not in sys.modules
"""


def test_without_workers_here_a_new_python_is_asked(plate: Path, tmp_path: Path) -> None:
    """As on the login node of a cluster, where no fork server runs."""
    script = tmp_path / "script.py"
    script.write_text(_PREPARE)
    assert python(script, plate, "default").stdout.startswith("default TileGrid(stride=")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"none")
    assert python(script, plate, broken).stdout.startswith(f"WeightsError {broken} is not a safetensors file")
