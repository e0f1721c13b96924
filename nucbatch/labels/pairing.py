"""Pairs names of predicted and true label images: every name has a partner, or nothing is scored.

An image that only one side has would otherwise be missing from the figures without notice, so it is an error,
and the message lists all such images.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from nucbatch.core.errors import InputError
from nucbatch.labels.label_files import LABEL_SUFFIXES

_SHOWN = 10


def pair_names(pred: Collection[str], truth: Collection[str]) -> list[str]:
    """The sorted names of both sides, which must be the same.

    Raises:
        InputError: a name is on one side only; the message lists all such names.
    """
    without_truth = sorted(set(pred) - set(truth))
    without_pred = sorted(set(truth) - set(pred))
    if without_truth or without_pred:
        parts = ["predictions and truth don't pair up by name."]
        if without_truth:
            parts.append(f"{len(without_truth)} without truth:\n{listed(without_truth)}")
        if without_pred:
            parts.append(f"{len(without_pred)} without prediction:\n{listed(without_pred)}")
        parts.append("Give both sides the same images, under the same names.")
        raise InputError("\n".join(parts))
    return sorted(pred)


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
