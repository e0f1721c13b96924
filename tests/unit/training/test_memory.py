import os
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
from nucbatch.training.malloc import keep_freed_memory
if "keep" in sys.argv and not keep_freed_memory():
    sys.exit(3)
def round():
    np.ones(16 << 20, np.uint8).sum()
round()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    round()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(*arguments: str) -> int:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, *arguments], env=plain, capture_output=True, text=True
    )
    if done.returncode == 3:
        pytest.skip("no glibc here")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is Linux's")
def test_memory_that_was_freed_is_used_again() -> None:
    assert page_faults("keep") * 10 < page_faults()
