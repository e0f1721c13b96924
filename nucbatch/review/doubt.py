"""How doubtful the nuclei of a field are: how much they change with the threshold of the foreground.

Clear nuclei have steep edges in the probability map, and are the same objects at any threshold. Where the
network is unsure, nuclei appear, vanish, merge or shrink. No truth is needed.
"""

from __future__ import annotations

import numpy as np

from nucbatch.core.settings import ObjectSettings
from nucbatch.inference.segment import segment_maps
from nucbatch.review.reviewed_run import FieldMaps
from nucbatch.scoring.detection import object_counts

SHIFT = 0.25
"""The threshold is lowered and raised by this probability, as far as it stays between 0.05 and 0.95."""


def doubt_of(found: FieldMaps, objects: ObjectSettings) -> float:
    """Returns 1 less the mean panoptic quality of the nuclei at two other thresholds; 0 if nothing changes.

    The nuclei at a lowered and at a raised threshold are compared with those of the run.

    Args:
        found: the maps of a field.
        objects: settings of the run.
    """
    if not len(found.maps):
        return 0.0
    low, high = (
        segment_maps(
            found.maps,
            found.fitted,
            objects.model_copy(update={"foreground": float(np.clip(objects.foreground + shift, 0.05, 0.95))}),
            colour=found.colour,
        ).labels
        for shift in (-SHIFT, SHIFT)
    )
    here = segment_maps(found.maps, found.fitted, objects, colour=found.colour).labels
    return 1 - (object_counts(here, low).pq + object_counts(here, high).pq) / 2
