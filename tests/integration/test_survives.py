"""What one block can do to a run: a measurement that crashes or takes all memory, and their neighbours.

Both come as a lab would have them: in another package, found by its entry point, with a defect that only
certain images show.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from nucbatch.store.run_folder import RunFolder
from nucbatch.synthetic import make_field

pytestmark = pytest.mark.slow

CRASHES, GREEDY = 50_001, 50_002

PLUG_IN = f"""
import os, signal
import numpy as np

class Faulty:
    name = "Faulty"

    def margin_px(self, settings, pixel_size_um):
        return 0

    def measure(self, objects, image, channels):
        if (image == {CRASHES}).any():
            os.kill(os.getpid(), signal.SIGSEGV)
        taken = []
        while (image == {GREEDY}).any():
            taken.append(np.ones(2**22))
        return {{"AreaShape_Nothing": np.zeros(objects.count, np.int64)}}
"""

MEMORY_BYTES = 3 << 30


@pytest.fixture(scope="module")
def plug_in(measurement_package: Callable[[str, str, str], Path]) -> Path:
    return measurement_package("faulty", "Faulty", PLUG_IN)


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("in")
    for number in range(8):
        drawn, _ = make_field(256, np.random.default_rng(number), nuclei=12, channels=1)
        image = np.minimum(drawn[0], 40_000)
        if number in (2, 5):
            image[0, 0] = CRASHES if number == 2 else GREEDY
        tifffile.imwrite(folder / f"f{number}.tif", image)
    return folder


def run(source: Path, out: Path, plug_in: Path, *options: str) -> subprocess.CompletedProcess[str]:
    def little_memory() -> None:
        resource.setrlimit(resource.RLIMIT_RSS, (MEMORY_BYTES, MEMORY_BYTES))  # Dask shares out no more

    python_path = os.pathsep.join(filter(None, [str(plug_in), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", "nucbatch", "run", str(source), "-o", str(out), "--workers", "1", *options],
        env=os.environ | {"PYTHONPATH": python_path},
        preexec_fn=little_memory,
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_a_block_that_kills_its_worker_is_given_up_with_its_reason_and_takes_nothing_with_it(
    fields: Path, plug_in: Path, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "out")
    ended = run(fields, folder.path, plug_in)
    assert ended.returncode == 3, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "distributed" not in ended.stderr  # what Dask has to say of workers that died
    table = pd.read_parquet(folder.fields).set_index("Metadata_Image")
    assert table["Status"].to_dict() == {f"f{n}": "failed" if n in (2, 5) else "done" for n in range(8)}
    crashed, greedy = table.loc["f2", "Reason"], table.loc["f5", "Reason"]
    assert "died each of 4 times it was tried" in crashed
    assert "not run out of memory" in crashed
    assert greedy.startswith("out of memory: its worker had used ")
    assert "of 3.0 GiB" in greedy
    assert "--workers" in greedy
    assert "f2" in folder.report.read_text()
