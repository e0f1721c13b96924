"""Scores of predicted labels against true ones."""

from nucbatch.scoring.objects import THRESHOLDS, ObjectCounts, object_counts
from nucbatch.scoring.pairs import label_files, paired
from nucbatch.scoring.pixel import PixelCounts, pixel_counts
from nucbatch.scoring.table import ImageScore, ScoreTable, score_image, score_images

__all__ = [
    "THRESHOLDS",
    "ImageScore",
    "ObjectCounts",
    "PixelCounts",
    "ScoreTable",
    "label_files",
    "object_counts",
    "paired",
    "pixel_counts",
    "score_image",
    "score_images",
]
