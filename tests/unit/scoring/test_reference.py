"""Every object figure against a second, slow implementation written from the papers, one mask at a time.

Nothing here shares code or data structures with the tested code: sets of pixels, every pair compared.
"""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score, f1_score, jaccard_score, precision_score, recall_score

from nucbatch.scoring import THRESHOLDS, score_image, score_images

RANDOM = arrays(np.int32, (8, 9), elements=st.integers(0, 5))


@st.composite
def nuclei(draw):
    """Labels of up to six rectangles, later ones over earlier ones: overlaps as large as real ones."""
    labels = np.zeros((14, 15), np.int32)
    for number in range(1, draw(st.integers(0, 6)) + 1):
        top, left = draw(st.integers(0, 12)), draw(st.integers(0, 12))
        labels[top : top + draw(st.integers(1, 8)), left : left + draw(st.integers(1, 8))] = number
    return labels


@st.composite
def real_like(draw):
    """A truth and a prediction that is the truth moved, with some labels joined and one cut."""
    truth = draw(nuclei())
    pred = np.roll(truth, (draw(st.integers(-2, 2)), draw(st.integers(-2, 2))), (0, 1))
    joined = draw(st.lists(st.integers(1, 6), max_size=3))
    pred = np.where(np.isin(pred, joined), 11, pred)
    cut = draw(st.integers(0, 14))
    return truth, np.where((pred == draw(st.integers(1, 6))) & (np.arange(15) >= cut), 12, pred)


PAIRS = st.one_of(st.tuples(RANDOM, RANDOM), st.tuples(nuclei(), nuclei()), real_like())


def pixel_sets(labels):
    sets = {}
    for at in np.ndindex(*labels.shape):
        if labels[at]:
            sets.setdefault(int(labels[at]), set()).add(at)
    return sets


def iou(one, other):
    return len(one & other) / len(one | other)


def slow_matching(truth, pred, threshold):
    """Kirillov et al. 2019, section 4.1: pairs with IoU above the threshold; each must be unique."""
    pairs = [(t, p) for t, p in product(truth, pred) if iou(truth[t], pred[p]) > threshold]
    assert len({t for t, _ in pairs}) == len(pairs) == len({p for _, p in pairs})
    return (
        len(pairs),
        len(pred) - len(pairs),
        len(truth) - len(pairs),
        [iou(truth[t], pred[p]) for t, p in pairs],
    )


def slow_aji(truth, pred):
    """Kumar et al. 2017, Algorithm 1."""
    common, whole, used = 0, 0, set()
    for nucleus in truth.values():
        overlapping = [p for p in sorted(pred) if nucleus & pred[p]]
        if not overlapping:
            whole += len(nucleus)
            continue
        best = max(overlapping, key=lambda p: iou(nucleus, pred[p]))
        common += len(nucleus & pred[best])
        whole += len(nucleus | pred[best])
        used.add(best)
    whole += sum(len(pred[p]) for p in pred if p not in used)
    return common / whole if whole else 1.0


def slow_rand(truth_labels, pred_labels):
    """Arganda-Carreras et al. 2015, pairs of pixels listed one by one; NaN without a pair in the truth."""
    pixels = [at for at in np.ndindex(*truth_labels.shape) if truth_labels[at]]
    both = in_truth = in_pred = 0
    for one, other in product(pixels, pixels):
        if one == other:
            continue
        same_truth = truth_labels[one] == truth_labels[other]
        same_pred = pred_labels[one] == pred_labels[other] != 0
        in_truth, in_pred, both = (
            in_truth + same_truth,
            in_pred + same_pred,
            both + (same_truth and same_pred),
        )
    if not in_truth:
        return math.nan
    if not both:
        return 1.0
    precision, recall = both / in_pred, both / in_truth
    return 1 - 2 * precision * recall / (precision + recall)


def slow_splits(truth, pred):
    """True nuclei with most of two or more predictions in them, and the same the other way round."""

    def holding(holders, held):
        return sum(sum(2 * len(one & holder) > len(one) for one in held) >= 2 for holder in holders)

    return holding(truth.values(), pred.values()), holding(pred.values(), truth.values())


def same(value, expected):
    return value == pytest.approx(expected, abs=1e-12, nan_ok=True)


@settings(max_examples=150, deadline=None)
@given(PAIRS)
def test_object_figures_equal_the_slow_ones(pair):
    truth_labels, pred_labels = pair
    truth, pred = pixel_sets(truth_labels), pixel_sets(pred_labels)
    figures = score_image("x", truth_labels, pred_labels).figures()
    precisions = []
    for threshold in THRESHOLDS:
        percent = round(threshold * 100)
        tp, fp, fn, _ = slow_matching(truth, pred, threshold)
        found = [figures[f"object_{kind}_{percent}"] for kind in ("tp", "fp", "fn")]
        assert found == [tp, fp, fn]
        precisions.append(tp / (tp + fp + fn) if tp + fp + fn else 1.0)
        assert same(figures[f"ap_{percent}"], precisions[-1])
        assert same(figures[f"object_precision_{percent}"], tp / len(pred) if pred else math.nan)
        assert same(figures[f"object_recall_{percent}"], tp / len(truth) if truth else math.nan)
        assert same(figures[f"object_f1_{percent}"], 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 1.0)
    assert same(figures["mean_ap"], np.mean(precisions))
    tp, fp, fn, qualities = slow_matching(truth, pred, 0.5)
    assert same(figures["pq"], sum(qualities) / (tp + fp / 2 + fn / 2) if truth or pred else 1.0)
    assert same(figures["sq"], np.mean(qualities) if qualities else math.nan)
    assert same(figures["dq"], tp / (tp + fp / 2 + fn / 2) if truth or pred else 1.0)
    assert same(figures["aji"], slow_aji(truth, pred))
    assert (figures["splits"], figures["merges"]) == slow_splits(truth, pred)
    assert same(figures["rand_error"], slow_rand(truth_labels, pred_labels))
    assert figures["count_error"] == len(pred) - len(truth)


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_pixel_figures_equal_scikit_learn(pair):
    truth, pred = (labels.ravel() > 0 for labels in pair)
    figures = score_image("x", *pair).figures()
    assert same(figures["pixel_accuracy"], accuracy_score(truth, pred))
    assert same(figures["pixel_precision"], precision_score(truth, pred, zero_division=np.nan))
    assert same(figures["pixel_recall"], recall_score(truth, pred, zero_division=np.nan))
    assert same(figures["pixel_f1"], f1_score(truth, pred, zero_division=1))
    empty = not (truth.any() or pred.any())
    assert same(figures["pixel_jaccard"], 1.0 if empty else jaccard_score(truth, pred))


@settings(max_examples=40, deadline=None)
@given(st.lists(PAIRS, min_size=1, max_size=4))
def test_pooling_is_scoring_all_images_side_by_side(pairs):
    """Images joined into one, with labels that don't clash, have the pooled figures."""
    table = score_images((str(number), *pair) for number, pair in enumerate(pairs))
    truths, preds = [], []
    for number, pair in enumerate(pairs):
        for labels, parts in zip(pair, (truths, preds), strict=True):
            moved = np.where(labels > 0, labels + 100 * number, 0)
            # A gap between images: nuclei at their edges must not touch.
            parts.append(np.pad(moved, ((1, 14 - len(labels)), (1, 1))))
    joined = score_image("joined", np.hstack(truths), np.hstack(preds)).figures()
    sizes = {"pixel_accuracy", "warping_error", "warping_error_total"}  # of the gaps' pixels too
    for name, value in table.pooled.figures().items():
        # With the background as a segment, all images' background would become one.
        if name not in sizes | {"adapted_rand_error"}:
            assert same(joined[name], value), name
