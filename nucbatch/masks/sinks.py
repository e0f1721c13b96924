"""Nuclei that touch are told apart by where their pixels' arrows lead.

The decision owned here: pixels whose arrows end at one place, or at places nearer to each other than a part
of the radius of the nucleus gathered there, are one nucleus. It keeps its largest piece; what is left over
goes to the nuclei around it. What happens in a component depends on that component alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from nucbatch.masks.arrows import follow
from nucbatch.masks.flood import flood


@dataclass(frozen=True, slots=True)
class _Sinks:
    """Places where arrows end. Entry 0 is background.

    ``component`` (S + 1,) each lies in, ``pixels`` (S + 1,) that lead there, and ``moment_px`` (S + 1, 2):
    the sums of the rows and columns where they end. Integers, so that distances don't depend on where in an
    image the sinks lie.
    """

    component: NDArray[np.uint32]
    pixels: NDArray[np.int64]
    moment_px: NDArray[np.int64]


def split_by_offsets(
    components: NDArray[np.uint32], offsets: NDArray[np.uint8], join: float, min_marker_px: int
) -> NDArray[np.uint32]:
    """Components (Y, X) uint32, 0 is background → labels (Y, X) uint32, one per nucleus, in no given order.

    Args:
        components: connected components of the foreground, numbered 1..N.
        offsets: (2, Y, X) uint8, the way to the nucleus' middle in y and x.
        join: ends of arrows nearer than this part of their nucleus' radius are one.
        min_marker_px: nuclei that fewer pixels lead to are shared out among their component's others.
    """
    arrived = follow(components, offsets)
    inside = components != 0
    ends = np.bincount(arrived[inside], minlength=components.size).reshape(components.shape)
    at = cc3d.connected_components(np.where(ends > 0, components, 0), connectivity=8, out_dtype=np.uint32)
    sinks = _measured(at, ends, components)
    group = _joined(sinks, join)
    group[_too_small(sinks, group, min_marker_px)[group]] = 0
    labels = np.zeros(components.shape, np.uint32)
    labels[inside] = group[at.ravel()[arrived[inside]]]
    return _in_one_piece(labels, inside)


def _measured(at: NDArray[np.uint32], ends: NDArray[np.int64], components: NDArray[np.uint32]) -> _Sinks:
    rows, columns = np.nonzero(at)
    sink, pixels = at[rows, columns], ends[rows, columns]
    count = int(sink.max()) + 1
    total, moment = np.zeros(count, np.int64), np.zeros((count, 2), np.int64)
    np.add.at(total, sink, pixels)
    np.add.at(moment, sink, pixels[:, np.newaxis] * np.stack([rows, columns], axis=1))
    component = np.zeros(count, np.uint32)
    component[sink] = components[rows, columns]
    return _Sinks(component, total, moment)


def _joined(sinks: _Sinks, join: float) -> NDArray[np.uint32]:
    """The nucleus 1..N of each sink (S + 1,), 0 for entry 0."""
    count, pixels = len(sinks.pixels), sinks.pixels
    reach = join * np.sqrt(pixels / np.pi)
    places = sinks.moment_px[1:] / pixels[1:, np.newaxis]
    pairs = cKDTree(places).query_pairs(float(reach.max()) + 1e-3, output_type="ndarray") + 1
    one, other = pairs[:, 0], pairs[:, 1]
    apart = (
        sinks.moment_px[one] * pixels[other, np.newaxis] - sinks.moment_px[other] * pixels[one, np.newaxis]
    )
    away = np.hypot(*(apart / (pixels[one] * pixels[other])[:, np.newaxis]).T)
    near = (sinks.component[one] == sinks.component[other]) & (away < np.maximum(reach[one], reach[other]))
    links = coo_matrix((np.ones(int(near.sum()), np.bool_), (one[near], other[near])), shape=(count, count))
    return np.asarray(connected_components(links, directed=False)[1], np.uint32)


def _too_small(sinks: _Sinks, group: NDArray[np.uint32], min_marker_px: int) -> NDArray[np.bool_]:
    """Which nuclei (N + 1,) are small beside a larger one in their component."""
    pixels = np.bincount(group, weights=sinks.pixels)
    component = np.zeros(len(pixels), np.uint32)
    component[group] = sinks.component
    small = pixels < min_marker_px
    beside = np.zeros(int(component.max()) + 1, np.bool_)
    beside[component[~small]] = True
    return np.asarray(small & beside[component], np.bool_)


def _in_one_piece(labels: NDArray[np.uint32], inside: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Each label's largest piece, the first of equals, grown over what is then left of the inside."""
    pieces = cc3d.connected_components(labels, connectivity=4, out_dtype=np.uint32)
    areas = np.bincount(pieces.ravel())
    owner = np.zeros(len(areas), np.uint32)
    owner[pieces.ravel()] = labels.ravel()
    order = np.lexsort((np.arange(len(areas)), -areas, owner))
    first = np.unique(owner[order], return_index=True)[1]
    largest = np.zeros(len(areas), np.bool_)
    largest[order[first]] = True
    largest[0] = False
    kept = np.where(largest[pieces], labels, np.uint32(0))
    left = inside & (kept == 0)
    if not left.any():
        return kept
    return flood(kept, np.zeros(labels.shape, np.uint8), inside)
