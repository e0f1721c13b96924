"""Importing this loads all that a worker would load for its first block.

Made for a fork server: nothing here starts a thread of Python's, leaves a file open, or touches a GPU.
"""

from nucbatch.garbage import loading

with loading():
    import nucbatch.execution.block
    import nucbatch.execution.kernels
    import nucbatch.execution.large.unit
    import nucbatch.execution.worker  # noqa: F401 (imported to be there)
