"""Scores predicted labels against true ones."""

from nucbatch.scoring.detection import THRESHOLDS, ObjectCounts, object_counts
from nucbatch.scoring.groups import grouped, read_groups
from nucbatch.scoring.jaccard import AggregatedJaccard
from nucbatch.scoring.pixel import PixelCounts, pixel_counts
from nucbatch.scoring.rand import RandCounts
from nucbatch.scoring.splits import SplitCounts
from nucbatch.scoring.table import ImageScore, ScoreTable, score_image, score_images
from nucbatch.scoring.warping import WarpingCounts, warping_counts

__all__ = [
    "THRESHOLDS",
    "AggregatedJaccard",
    "ImageScore",
    "ObjectCounts",
    "PixelCounts",
    "RandCounts",
    "ScoreTable",
    "SplitCounts",
    "WarpingCounts",
    "grouped",
    "object_counts",
    "pixel_counts",
    "read_groups",
    "score_image",
    "score_images",
    "warping_counts",
]
