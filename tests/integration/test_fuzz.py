"""A short run of the fuzzing benchmark: damaged inputs of every kind are read or refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_damaged_inputs_are_read_or_refused() -> None:
    command = [sys.executable, "-m", "benchmarks.fuzz", "--mutants", "105", "--seed", "3", "--jobs", "2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "accepted (100.0%)" in done.stdout
    assert "seed 3: 105 mutants" in done.stdout
