"""Kernels compile where no cache can be written, and take one kind of array."""

import subprocess
import sys

import numpy as np
import pytest

from nucbatch.core.jit import frozen, kernel


def test_a_kernel_without_a_cache_folder_compiles_in_memory():
    # Numba finds no writable place beside "<string>", just as beside a package that is read-only.
    names = {}
    exec("def twice(value):\n    return 2 * value\n", names)
    compiled = kernel(names["twice"])
    assert compiled(21) == 42
    assert compiled.signatures  # compiled, not merely called


@pytest.mark.slow
def test_all_modules_import_without_a_writeable_cache():
    # As in an image that is read only, for a user without a home: Numba finds no place at all.
    # The viewer is left out, because napari needs a cache.
    code = (
        "import pkgutil, numba.core.caching as caching, nucbatch\n"
        "caching.CompileResultCacheImpl._locator_classes = []\n"
        "for module in pkgutil.walk_packages(nucbatch.__path__, 'nucbatch.'):\n"
        "    if not module.name.startswith(('nucbatch.__main__', 'nucbatch.review.viewer.')):\n"
        "        __import__(module.name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_frozen_is_contiguous_read_only_and_leaves_its_source_alone():
    source = np.arange(12, dtype=np.uint16).reshape(3, 4)
    turned = frozen(source.T, np.uint16)
    assert turned.flags.c_contiguous
    assert not turned.flags.writeable
    same = frozen(source, np.uint16)
    assert np.shares_memory(same, source)
    assert source.flags.writeable
