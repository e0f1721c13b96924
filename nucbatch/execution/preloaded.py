"""Importing this module loads everything that a worker needs for its first block.

It is imported by the fork server, so it starts no Python thread, leaves no file open and uses no GPU.
"""

from importlib import import_module

from nucbatch.core.gc_pause import gc_frozen

_SIDE_PX = 64


def _run_kernels() -> None:
    """Runs every step of a block except the network on a small image, which loads the compiled kernels.

    Uses two touching squares with a hole, as uint8 and uint16.
    """
    import numpy as np
    import pyarrow as pa

    from nucbatch.core.settings import MAPS, NormaliseSettings, ObjectSettings
    from nucbatch.features.measure import measure
    from nucbatch.features.quality import field_quality
    from nucbatch.inference.normalise import find_constants, normalise
    from nucbatch.masks.objects import find_nuclei

    maps = np.zeros((len(MAPS), _SIDE_PX, _SIDE_PX), np.uint8)
    maps[:2, 16:32, 16:48] = 255
    maps[0, 20:22, 20:22] = 0
    maps[2:] = 128
    labels = find_nuclei(maps, ObjectSettings())
    for dtype in (np.uint8, np.uint16):
        image = np.arange(_SIDE_PX**2, dtype=dtype).reshape(_SIDE_PX, _SIDE_PX)
        normalise(image, find_constants(image, NormaliseSettings()))
        for values in measure(labels, image[None], ["DNA"]).values():
            pa.array(values)  # the first call imports pandas
        field_quality(image)


with gc_frozen():
    for _name in ("worker", "field_task", "large.unit"):
        import_module(f"nucbatch.execution.{_name}")
    _run_kernels()
