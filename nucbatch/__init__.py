"""nucbatch finds and measures cell nuclei in whole plates of microscopy images.

    import nucbatch as nb

    labels = nb.segment(image)                 # one image, a stack, or one channel of several
    labels = nb.segment_dask(images, axes="NYX")   # lazily, in a Dask graph of your own
    run = nb.run("PLATE", "out")               # a whole plate, in worker processes
    run = nb.open_run("out")                   # its tables, images and labels
    table = nb.measure(labels, image, ["DAPI"])    # one row per nucleus
    nb.score("out", gt="TRUTH")                # masks against ground truth
    nb.suggest("out")                          # the fields most worth labelling
    nb.view("out", "B03")                      # look at nuclei in napari, and correct them
    nb.train("LAB", "ours", from_="default")   # a model of your own
    nb.models()                                # those that are shipped

On the command line: ``nucbatch run PLATE -o out``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nucbatch.version import __version__

__all__ = [
    "__version__",
    "measure",
    "models",
    "open_run",
    "run",
    "score",
    "segment",
    "segment_dask",
    "suggest",
    "train",
    "view",
]

if TYPE_CHECKING:
    from nucbatch.api.measuring import measure
    from nucbatch.api.models import models
    from nucbatch.api.opened_run import open_run
    from nucbatch.api.reviewing import suggest, view
    from nucbatch.api.running import run
    from nucbatch.api.scores import score
    from nucbatch.api.segmenting import segment
    from nucbatch.api.training import train
    from nucbatch.execution.dask_api import segment_dask

_HOMES = {
    "measure": "nucbatch.api.measuring",
    "models": "nucbatch.api.models",
    "open_run": "nucbatch.api.opened_run",
    "run": "nucbatch.api.running",
    "score": "nucbatch.api.scores",
    "segment": "nucbatch.api.segmenting",
    "segment_dask": "nucbatch.execution.dask_api",
    "suggest": "nucbatch.api.reviewing",
    "train": "nucbatch.api.training",
    "view": "nucbatch.api.reviewing",
}


def __getattr__(name: str) -> Any:
    """The public functions, imported when first used: ``import nucbatch`` alone loads no heavy library."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'nucbatch' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names alone."""
    return __all__
