"""Images of a run that hold their labels alone, with ``--images none``: the pictures stay where they are.

The image's levels are those of its ``labels/nuclei``: the metadata name the same arrays twice, so no pixel is
stored twice. The group is a valid image of the plate, and ``labels/nuclei`` a valid label image of it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from nucbatch.core.plate import Field
from nucbatch.store import ngff
from nucbatch.store.images import labels_path, write_group, write_label_pyramid
from nucbatch.store.pyramid import level_count
from nucbatch.store.stamps import Written


def write_labels_alone(
    group: Path, field: Field, labels: npt.NDArray[np.uint32], version: ngff.Version = "0.5"
) -> Written:
    """Writes a field's label pyramid and the attributes that make it an image; returns the files.

    Args:
        group: the image's group.
        field: the field.
        labels: (Y, X), 0 is background.
        version: of OME-Zarr.

    Raises:
        StoreError: a file cannot be written.
    """
    return write_label_pyramid(group, labels, version) | describe_labels_alone(group, field, version)


def describe_labels_alone(group: Path, field: Field, version: ngff.Version = "0.5") -> Written:
    """Writes the attributes of a group whose labels are written, and returns their files.

    Raises:
        StoreError: a file cannot be written.
    """
    nuclei = labels_path(group)
    space = ngff.Space.of(field, level_count(field.height_px, field.width_px))
    written = write_group(nuclei, ngff.nuclei_attributes(space, version), version)
    written |= write_group(nuclei.parent, ngff.labels_attributes(version), version)
    return written | write_group(group, ngff.image_of_labels_attributes(field.name, space, version), version)
