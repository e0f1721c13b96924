"""Pairs predicted and true label images by name: every true image has a prediction, or nothing is scored.

A true image without prediction would otherwise be missing from the figures, which would then be too good. A
prediction without truth is left out: people label a few fields of a plate. An image has several names, and
two sides pair by the first kind of name under which both hold the same images.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from nucbatch.core.errors import InputError
from nucbatch.labels.label_files import LABEL_SUFFIXES
from nucbatch.labels.label_image import LabelImage

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


def pair_sides(pred: list[LabelImage], truth: list[LabelImage]) -> dict[str, tuple[LabelImage, LabelImage]]:
    """Prediction and truth of each true image by the name they share, in the order of the names.

    Predictions without truth are left out.

    Raises:
        InputError: true images have no prediction under any kind of name; the message lists the images
            without partner, under the names by which most have one.
    """
    ways = [(_by_name(pred, one), _by_name(truth, other)) for one, other in _kinds(pred, truth)]
    fitting = [(predicted, true) for predicted, true in ways if true and set(true) <= set(predicted)]
    for predicted, true in sorted(fitting, key=lambda way: len(way[0]) - len(way[1])):
        sides = [(name, predicted[name], true[name]) for name in pair_names(predicted, true)]
        return {name: (one.sized_like(other), other.sized_like(one)) for name, one, other in sides}
    closest = max(ways, key=lambda way: len(set(way[0]) & set(way[1])))
    if set(closest[0]) & set(closest[1]):
        pair_names(*closest)  # raises with the list of images without partner
    firsts = [[image.names[0] for image in side] for side in (pred, truth)]
    pair_names(*firsts)
    role, names = ("prediction", firsts[0]) if len(set(firsts[0])) < len(firsts[0]) else ("truth", firsts[1])
    twice = next(name for name in names if names.count(name) > 1)
    raise InputError(f"the {role} has {twice} twice: images are paired by name, so each name may occur once.")


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


def _kinds(pred: list[LabelImage], truth: list[LabelImage]) -> Iterable[tuple[int, int]]:
    """Pairs of kinds of name, the best on both sides first."""
    every = [(one, other) for one in range(len(pred[0].names)) for other in range(len(truth[0].names))]
    return sorted(every, key=sum)


def _by_name(images: list[LabelImage], kind: int) -> dict[str, LabelImage]:
    """Images by one kind of name; none if two share one."""
    named = {image.names[kind]: image for image in images}
    return named if len(named) == len(images) else {}
