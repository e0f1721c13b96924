"""Importing this module loads everything that a worker needs for its first block.

It is imported by the fork server, so it starts no Python thread, leaves no file open and uses no GPU.
"""

from importlib import import_module

from nucbatch.core.gc_pause import gc_frozen

_SIDE_PX = 64


def _run_kernels() -> None:
    """Runs every step of a block except the network on a small image, which loads the compiled kernels.

    The image has a square that its flows cut in two, to be merged again, with a hole, and with a pixel that
    flows away from its part; and a square that is too small. It is measured as uint8 and uint16.
    """
    import numpy as np
    import pyarrow as pa

    from nucbatch.core.settings import MAPS, NormaliseSettings, ObjectSettings
    from nucbatch.execution.image_statistics import sample_of_image
    from nucbatch.features.confidence import evidence_of
    from nucbatch.features.measure import measure
    from nucbatch.features.measured_objects import objects_of
    from nucbatch.features.quality import field_quality
    from nucbatch.inference.normalise import find_constants, normalise
    from nucbatch.masks.objects import find_in_image
    from nucbatch.readers.formats.installed import known_formats
    from nucbatch.store.digest import labels_digest

    known_formats()
    maps = np.zeros((len(MAPS), _SIDE_PX, _SIDE_PX), np.uint8)
    maps[:2, 16:32, 16:48] = 255
    maps[0, 20:22, 20:22] = 0
    maps[:2, 40:43, 40:43] = 255
    maps[2:] = 128
    toward = np.clip(128 + 4 * (24 - np.arange(16, 32)), 0, 255)  # a pixel is four steps of an offset map
    maps[2, 16:32, 16:48] = toward[:, np.newaxis]
    maps[3, 16:32, 16:32] = maps[3, 16:32, 32:48] = toward
    maps[3, 24, 17] = 255
    found = find_in_image(maps, ObjectSettings(merge=0.5))
    labels_digest(found.labels)
    evidence_of(objects_of(found.labels, runs=found.runs), maps, 1.0)
    for dtype in (np.uint8, np.uint16):
        image = np.arange(2 * _SIDE_PX**2, dtype=dtype).reshape(2, _SIDE_PX, _SIDE_PX)
        normalise(image[0], find_constants(image[0], NormaliseSettings()))
        for values in measure(found.labels, image, ["DNA", "Other"], runs=found.runs).values():
            pa.array(values)  # the first call imports pandas
        field_quality(image[0])
        sample_of_image(image, 0)


with gc_frozen():
    for _name in ("worker", "process_field", "large.unit"):
        import_module(f"nucbatch.execution.{_name}")
    _run_kernels()
