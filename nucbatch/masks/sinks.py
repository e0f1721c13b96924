"""Nuclei that touch are told apart by where their pixels' arrows lead.

The decision owned here: pixels whose arrows end at one place, or at places nearer to each other than a part
of the radius of the nucleus gathered there, are one nucleus. It keeps its largest piece; what is left over
goes to the nuclei around it. What happens in a component depends on that component alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from nucbatch.jit import kernel
from nucbatch.masks.arrows import followed
from nucbatch.masks.classes import number, unite
from nucbatch.masks.pieces import in_one_piece
from nucbatch.runs import Runs


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
    components: NDArray[np.uint32],
    offsets: NDArray[np.uint8],
    runs: Runs,
    join: float,
    min_marker_px: int,
) -> NDArray[np.uint32]:
    """Components (Y, X) uint32, 0 is background → labels (Y, X) uint32, one per nucleus, in no given order.

    Args:
        components: connected components of the foreground, numbered 1..N.
        offsets: (2, Y, X) uint8, the way to the nucleus' middle in y and x.
        runs: of the components' pixels.
        join: ends of arrows nearer than this part of their nucleus' radius are one.
        min_marker_px: nuclei that fewer pixels lead to are shared out among their component's others.
    """
    components = np.ascontiguousarray(components)
    arrows = followed(components, offsets, runs)
    at, component, pixels, moment_px = _gathered(components, arrows.pixels, arrows.place, arrows.end)
    sinks = _Sinks(component, pixels, moment_px)
    group = _joined(sinks, join)
    group[_too_small(sinks, group, min_marker_px)[group]] = 0
    return in_one_piece(group[at][arrows.end], components, arrows.pixels, arrows.place)


@kernel
def _gathered(
    components: NDArray[np.uint32],
    pixels: NDArray[np.int64],
    place: NDArray[np.uint32],
    end: NDArray[np.uint32],
) -> tuple[
    NDArray[np.uint32], NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]
]:  # pragma: no cover (compiled)
    """The sink at each pixel (F,) where an arrow ends, 0 elsewhere, and what there is to say of the sinks."""
    width = components.shape[1]
    arrivals = np.zeros(len(pixels), np.uint32)
    for start in range(len(end)):
        arrivals[end[start]] += 1
    ends = 0
    for here in range(len(pixels)):
        ends += arrivals[here] > 0
    at = np.zeros(len(pixels), np.uint32)
    leader = np.arange(ends + 1).astype(np.uint32)
    count = 0
    for here in range(len(pixels)):
        if arrivals[here] == 0:
            continue
        count += 1
        at[here] = count
        y, x = pixels[here] // width, pixels[here] % width
        for dy, dx in ((-1, -1), (-1, 0), (-1, 1), (0, -1)):
            by_y, by_x = y + dy, x + dx
            # Of pixels beside each other only those of one component are one place.
            if by_y < 0 or by_x < 0 or by_x >= width or components[by_y, by_x] != components[y, x]:
                continue
            beside = at[place[by_y, by_x]]
            if beside != 0:
                unite(leader, beside, count)
    sinks = number(leader, 1, count + 1)
    component = np.zeros(sinks, np.uint32)
    total = np.zeros(sinks, np.int64)
    moment = np.zeros((sinks, 2), np.int64)
    for here in range(len(pixels)):
        if at[here] == 0:
            continue
        sink = leader[at[here]]
        at[here] = sink
        y, x = pixels[here] // width, pixels[here] % width
        arrived = np.int64(arrivals[here])
        component[sink] = components[y, x]
        total[sink] += arrived
        moment[sink, 0] += arrived * y
        moment[sink, 1] += arrived * x
    return at, component, total, moment


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
