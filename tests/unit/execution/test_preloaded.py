"""A worker's first field loads no compiled kernel, because the process that workers are forked from has."""

import subprocess
import sys
from pathlib import Path

import pytest

from nucbatch.synthetic import make_plate

_SCRIPT = """
import gc, sys
from pathlib import Path
import nucbatch.execution.preloaded
from numba.core.dispatcher import Dispatcher
from nucbatch.core.settings import RunSettings
from nucbatch.execution.field_task import FieldTask
from nucbatch.execution.process_field import process_field
from nucbatch.execution.prepared import prepare
from nucbatch.readers.find import open_plate
from nucbatch.store.run_folder import RunFolder

def kernels():
    gc.unfreeze()
    found = (one for one in gc.get_objects() if isinstance(one, Dispatcher))
    return {(one.py_func.__qualname__, str(kind)) for one in found for kind in one.overloads}

before = kernels()
prepared = prepare(open_plate(Path(sys.argv[1])), RunSettings(channel="DAPI"))
folder = RunFolder(Path(sys.argv[2]))
folder.create()
receipt = process_field(FieldTask.of(prepared.plan, prepared.plan.usable[0], folder, str(prepared.weights)))
assert receipt.nuclei, receipt
print(sorted(kernels() - before))
"""


@pytest.mark.slow
def test_a_first_field_loads_no_kernel(tmp_path: Path) -> None:
    plate = make_plate(
        tmp_path / "plate", wells=["B02"], sites=1, size_px=256, truncated=False, thumbnails=False
    ).plate_folder
    run = [sys.executable, "-c", _SCRIPT, str(plate), str(tmp_path / "out")]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
