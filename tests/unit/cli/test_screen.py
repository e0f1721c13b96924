"""``nucbatch screen`` takes the options of a run and lists its plates."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from nucbatch.cli.main import nucbatch
from nucbatch.cli.run import run
from nucbatch.cli.screen import screen

OF_A_RUN_ALONE = {"--keep-probabilities", "--reuse-probabilities"}


def test_a_screen_takes_the_options_of_a_run(tmp_path: Path) -> None:
    options = {name for parameter in run.params for name in parameter.opts if name.startswith("--")}
    own = {name for parameter in screen.params for name in parameter.opts}
    assert options - own == OF_A_RUN_ALONE
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    command = ["screen", str(tmp_path), "-o", str(tmp_path / "out"), "--dry-run", "--labels", "both"]
    shown = CliRunner().invoke(nucbatch, command, catch_exceptions=False)
    assert [line.split("\t")[:2] for line in shown.output.splitlines()] == [
        ["one", "to do"],
        ["two", "to do"],
    ]
    assert not (tmp_path / "out").exists()
    refused = CliRunner().invoke(nucbatch, [*command, "--plate", "three"])
    assert "has no plate 'three'" in str(refused.exception)
