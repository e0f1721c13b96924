"""Pairs names of predicted and true label images: every true image has a prediction, or nothing is scored.

A true image without prediction would otherwise be missing from the figures, which would then be too good. A
prediction without truth is left out: people label a few fields of a plate.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from nucbatch.core.errors import InputError
from nucbatch.labels.label_files import LABEL_SUFFIXES

_SHOWN = 10


def pair_names(pred: Collection[str], truth: Collection[str]) -> list[str]:
    """The sorted names of the true images, each of which must have a prediction.

    Raises:
        InputError: one has none; the message lists the names on one side only.
    """
    without_truth = sorted(set(pred) - set(truth))
    without_pred = sorted(set(truth) - set(pred))
    if without_pred:
        parts = ["predictions and truth don't pair up by name."]
        if without_truth:
            parts.append(f"{len(without_truth)} without truth:\n{listed(without_truth)}")
        parts.append(f"{len(without_pred)} without prediction:\n{listed(without_pred)}")
        parts.append("Give each true image the name of its prediction.")
        raise InputError("\n".join(parts))
    return sorted(truth)


def left_out(predicted: int, scored: int) -> str:
    """A sentence about predictions without truth, which are not scored; empty if there are none."""
    count = predicted - scored
    return f"Scored {scored:,} of {predicted:,} predicted images; {count:,} have no truth" if count else ""


def without_suffix(name: str) -> str:
    """A name without the suffix of a label image: ``a.ome.tif`` and ``a`` → ``a``, ``plate.A01`` as it is."""
    stem, dot, suffix = name.rpartition(".")
    return stem.removesuffix(".ome") if stem and f"{dot}{suffix}".lower() in LABEL_SUFFIXES else name


def listed(lines: Iterable[str]) -> str:
    """One line each, indented; after the first ten, the number of the rest."""
    known = list(lines)
    shown = [f"  {line}" for line in known[:_SHOWN]]
    if len(known) > _SHOWN:
        shown.append(f"  … and {len(known) - _SHOWN} more")
    return "\n".join(shown)
