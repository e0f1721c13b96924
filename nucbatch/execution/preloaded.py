"""Importing this loads all that a worker would load for its first block.

Made for a fork server: nothing here starts a thread of Python's, leaves a file open, or touches a GPU.
"""

from importlib import import_module

from nucbatch.core.gc_pause import gc_frozen

with gc_frozen():
    for _name in ("worker", "block", "large.unit", "kernels"):
        import_module(f"nucbatch.execution.{_name}")
