"""Doubt is large where nuclei depend on the threshold."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from nucbatch.core.settings import ObjectSettings
from nucbatch.inference.scale import Fit
from nucbatch.review.doubt import doubt_of
from nucbatch.review.reviewed_run import FieldMaps

OBJECTS = ObjectSettings(peak=0.0)


def disks(edge_px: float, height: float = 255.0) -> FieldMaps:
    """Two round nuclei whose probability falls off over some pixels."""
    y, x = np.indices((96, 96))
    inside = np.maximum(*((((y - cy) ** 2 + (x - cx) ** 2) < 144) for cy, cx in ((30, 30), (64, 60))))
    return FieldMaps(
        (gaussian_filter(inside * height, edge_px)).astype(np.uint8)[np.newaxis], Fit(), colour=False
    )


def test_steep_nuclei_are_clear_and_faint_ones_doubtful() -> None:
    steep, soft, faint = (doubt_of(one, OBJECTS) for one in (disks(0.3), disks(5), disks(0.3, 140)))
    assert steep < 0.05 < 0.3 < min(soft, faint)
    assert faint == pytest.approx(0.5, abs=0.03)  # at the higher threshold none is left


def test_a_blank_field_and_one_without_nuclei_are_clear() -> None:
    none = np.zeros((0, 8, 8), np.uint8), np.zeros((1, 8, 8), np.uint8)
    assert [doubt_of(FieldMaps(maps, Fit(), False), OBJECTS) for maps in none] == [0.0, 0.0]
