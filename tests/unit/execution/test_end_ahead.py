"""What the end of a run needs is loaded while the workers work."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys, threading
from nucbatch.execution.end_ahead import load_end_ahead
assert "nucbatch.report.page" not in sys.modules
load_end_ahead()
for thread in threading.enumerate():
    if thread.name == "nucbatch-end":
        thread.join()
before = set(sys.modules)
from nucbatch.execution.experiment_tables import evaluate
from nucbatch.execution.finalise import finalise
from nucbatch.report.page import write_report
assert set(sys.modules) == before
from nucbatch.report.field_images import _area_means
from nucbatch.report.panel import _environment
assert _area_means.signatures
assert {name for _, name in _environment().cache} >= {"page.html", "heatmap.html", "contact.html"}
load_end_ahead()
assert threading.active_count() == 1
"""


@pytest.mark.slow
def test_modules_templates_and_kernels_are_loaded_in_a_thread():
    subprocess.run([sys.executable, "-c", SCRIPT], check=True)
