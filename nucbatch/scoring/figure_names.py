"""Names of the figures in printed tables and on the page, with their order and headings.

Files use the short names.
"""

from __future__ import annotations

import math

SECTIONS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Counts",
        (
            ("nuclei_truth", "True nuclei"),
            ("nuclei_predicted", "Predicted nuclei"),
            ("count_error", "Count error, predicted - true"),
            ("count_error_relative", "Count error, relative"),
        ),
    ),
    (
        "Pixels",
        (
            ("pixel_accuracy", "Accuracy"),
            ("pixel_precision", "Precision"),
            ("pixel_recall", "Recall"),
            ("pixel_f1", "F1 (Dice)"),
            ("pixel_jaccard", "Jaccard (IoU)"),
        ),
    ),
    (
        "Nuclei, matched above IoU 0.5",
        (
            ("object_tp_50", "Hits (TP)"),
            ("object_fp_50", "False (FP)"),
            ("object_fn_50", "Missed (FN)"),
            ("object_precision_50", "Precision"),
            ("object_recall_50", "Recall"),
            ("object_f1_50", "F1 (DQ)"),
            ("ap_50", "AP at 0.5"),
            ("sq", "SQ, mean IoU of hits"),
            ("pq", "PQ, SQ × DQ"),
        ),
    ),
    (
        "Nuclei, other figures",
        (
            ("mean_ap", "Mean AP, 0.5 to 0.95"),
            ("aji", "AJI"),
            ("splits", "Splits"),
            ("merges", "Merges"),
        ),
    ),
    (
        "Metrics of the ISBI 2012 challenge",
        (
            ("warping_error", "Warping error, splits and merges"),
            ("warping_error_total", "Warping error, all"),
            ("rand_error", "Rand error"),
            ("adapted_rand_error", "Rand error, with background as a segment"),
            ("pixel_error", "Pixel error"),
        ),
    ),
    (
        "Segmented image against the image, 8 bits",
        (
            ("mse", "Mean squared error"),
            ("psnr_db", "PSNR, dB"),
        ),
    ),
)

GROUP_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("pooled", "nuclei_truth", "truth"),
    ("pooled", "nuclei_predicted", "found"),
    ("median", "count_error_relative", "count error"),
    ("pooled", "pixel_f1", "pixel F1"),
    ("pooled", "pixel_jaccard", "pixel IoU"),
    ("pooled", "object_f1_50", "F1 0.5"),
    ("pooled", "ap_50", "AP 0.5"),
    ("averaged", "mean_ap", "mean AP"),
    ("pooled", "pq", "PQ"),
    ("pooled", "aji", "AJI"),
    ("pooled", "splits", "splits"),
    ("pooled", "merges", "merges"),
)
"""Total, figure and heading of each column of the table of groups."""

IMAGE_COLUMNS: tuple[tuple[str, str], ...] = (
    ("nuclei_truth", "truth"),
    ("nuclei_predicted", "found"),
    ("pixel_f1", "pixel F1"),
    ("object_f1_50", "F1 0.5"),
    ("mean_ap", "mean AP"),
    ("pq", "PQ"),
    ("splits", "splits"),
    ("merges", "merges"),
)
"""Figure and heading of each column of the table of images."""

THRESHOLD_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("pooled", "object_tp", "TP"),
    ("pooled", "object_fp", "FP"),
    ("pooled", "object_fn", "FN"),
    ("pooled", "object_precision", "precision"),
    ("pooled", "object_recall", "recall"),
    ("pooled", "object_f1", "F1"),
    ("pooled", "ap", "AP"),
    ("averaged", "ap", "AP averaged"),
)
"""Total, stem of the figure and heading of each column of the table of IoU thresholds."""

TOTALS: tuple[tuple[str, str], ...] = (
    ("pooled", "pooled"),
    ("averaged", "averaged over images"),
    ("median", "median of images"),
)
"""The totals of a table and their headings."""


def shown(value: float) -> str:
    """A figure as text: three decimals, whole numbers with separators, tiny values as powers.

    Undefined figures (NaN) become –.
    """
    if math.isnan(value):
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.2e}" if 0 < abs(value) < 0.001 else f"{value:.3f}"
