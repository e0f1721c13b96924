"""nucbatch finds cell nuclei in whole plates of microscopy images.

In Python: ``nucbatch.segment(image)`` → labels. On the command line: ``nucbatch run PLATE -o OUT``.
"""

from typing import TYPE_CHECKING, Any

from nucbatch.version import __version__

__all__ = ["__version__", "run_plate", "segment"]

if TYPE_CHECKING:
    from nucbatch.api import run_plate, segment


def __getattr__(name: str) -> Any:
    """The public functions, imported when first used: ``import nucbatch`` alone loads no heavy library."""
    if name in __all__:
        from nucbatch import api

        return getattr(api, name)
    raise AttributeError(f"module 'nucbatch' has no attribute {name!r}")
