"""nucbatch finds cell nuclei in whole plates of microscopy images.

In Python: ``nucbatch.segment(image)`` → labels, and ``nucbatch.segment_dask(images)`` in a Dask graph. On the
command line: ``nucbatch run PLATE -o OUT``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nucbatch.version import __version__

__all__ = ["__version__", "run_plate", "segment", "segment_dask"]

if TYPE_CHECKING:
    from nucbatch.api import run_plate, segment
    from nucbatch.execution.dask_api import segment_dask

_HOMES = {
    "run_plate": "nucbatch.api",
    "segment": "nucbatch.api",
    "segment_dask": "nucbatch.execution.dask_api",
}


def __getattr__(name: str) -> Any:
    """The public functions, imported when first used: ``import nucbatch`` alone loads no heavy library."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'nucbatch' has no attribute {name!r}")
