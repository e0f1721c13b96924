"""``nucbatch demo``: the README's first command, the whole way, twice into the same folder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from nucbatch.cli.main import nucbatch

pytestmark = pytest.mark.slow


def test_the_demo_ends_by_naming_its_score_and_what_to_open(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    (out / "run").mkdir(parents=True)
    (out / ".nucbatch-demo").touch()  # as one that was stopped halfway leaves it
    (out / "run" / "half").write_text("x")
    done = CliRunner().invoke(nucbatch, ["demo", "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert "1 field failed" in done.output or "1 fields failed" in done.output
    assert "One failed field is intended: a file of Synthetic_" in done.output
    score = re.search(r"pixel F1 (\S+); object F1 at IoU 0.5 (\S+); 0 false nuclei in 2", done.output)
    assert score is not None, done.output
    assert float(score[1]) >= 0.9
    assert float(score[2]) >= 0.7
    for name in ("wells.csv", "report.html", "plate.zarr"):
        assert str(out / "run" / name) in done.output.splitlines()[-1]
        assert (out / "run" / name).exists()
    assert not (out / "run" / "half").exists()
    scored = CliRunner().invoke(nucbatch, ["score", str(out / "run"), "--gt", str(out / "truth")])
    assert scored.exit_code == 0, scored.output
