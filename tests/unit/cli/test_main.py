import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner

from nucbatch.cli.main import nucbatch

HEAVY = (
    "torch",
    "dask",
    "distributed",
    "zarr",
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "skimage",
    "numba",
    "rich",
)


def test_help_loads_no_heavy_library() -> None:
    """A stand-in for the 0.3 s that help may take: what would break it is an import."""
    script = (
        "import json, sys\n"
        "from nucbatch.cli.main import nucbatch\n"
        "nucbatch(['--help'], standalone_mode=False)\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert "nucbatch" in loaded
    assert not set(HEAVY) & set(loaded)


@pytest.mark.parametrize(
    "command", ["demo", "inspect", "run", "status", "train", "score", "report", "models"]
)
def test_every_command_is_listed_and_has_help(command: str) -> None:
    assert command in CliRunner().invoke(nucbatch, ["--help"]).output
    shown = CliRunner().invoke(nucbatch, [command, "--help"])
    assert shown.exit_code == 0
    assert "Usage:" in shown.output


def test_python_dash_m_is_the_same_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nucbatch", "--version"], capture_output=True, text=True, check=True
    )
    assert version("nucbatch") in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["inspect", "no/such/folder"], 2, "no/such/folder"),
        (["run", ".", "-o", "out", "--model", "no-such-model"], 2, "neither a shipped model"),
        (["train", "no/such/folder", "-o", "out"], 2, "is not a folder"),
        (["run", "."], 2, "Missing option '-o'"),
    ],
)
def test_a_users_mistake_is_a_sentence_without_a_traceback(
    tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    command = [sys.executable, "-m", "nucbatch", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
