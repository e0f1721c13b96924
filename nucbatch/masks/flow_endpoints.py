"""Splits touching nuclei by the endpoints of their pixels' flows.

Pixels belong to one nucleus where their flows end at the same place, or at places nearer to each other than
a fraction of the nucleus' radius. The nucleus keeps its largest connected piece; other pixels go to
neighbouring nuclei. The result in a component depends on that component alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from nucbatch.core.jit import kernel
from nucbatch.core.rle import Runs
from nucbatch.masks.flows import follow_flows
from nucbatch.masks.pieces import in_one_piece
from nucbatch.masks.union_find import number, unite


@dataclass(frozen=True, slots=True)
class _Endpoints:
    """Connected groups of endpoints. Entry 0 is background.

    ``component`` (S + 1,): the component that holds it. ``pixels`` (S + 1,): number of pixels that flow
    there. ``moment_px`` (S + 1, 2): sums of the rows and columns of their endpoints. All are integers, so
    that distances don't depend on the position in the image.
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
    """Splits components into nuclei; returns labels (Y, X) uint32, one per nucleus, in any order.

    Args:
        components: connected components of the foreground, (Y, X) uint32, numbered 1..N; 0 is background.
        offsets: (2, Y, X) uint8, vector to the nucleus' centre in y and x.
        runs: of the components' pixels.
        join: merge endpoints closer than this fraction of the nucleus' radius.
        min_marker_px: nuclei with fewer pixels flowing to them are given to their neighbours.
    """
    components = np.ascontiguousarray(components)
    flows = follow_flows(components, offsets, runs)
    at, component, pixels, moment_px = _gathered(components, flows.pixels, flows.place, flows.end)
    groups = _Endpoints(component, pixels, moment_px)
    group = _joined(groups, join)
    group[_too_small(groups, group, min_marker_px)[group]] = 0
    return in_one_piece(group[at][flows.end], components, flows.pixels, flows.place)


@kernel
def _gathered(
    components: NDArray[np.uint32],
    pixels: NDArray[np.int64],
    place: NDArray[np.uint32],
    end: NDArray[np.uint32],
) -> tuple[
    NDArray[np.uint32], NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]
]:  # pragma: no cover (compiled)
    """Numbers the endpoint groups: (F,) per pixel, 0 where no flow ends, and the groups' properties."""
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
            # Neighbouring endpoints are one group only within one component.
            if by_y < 0 or by_x < 0 or by_x >= width or components[by_y, by_x] != components[y, x]:
                continue
            beside = at[place[by_y, by_x]]
            if beside != 0:
                unite(leader, beside, count)
    groups = number(leader, 1, count + 1)
    component = np.zeros(groups, np.uint32)
    total = np.zeros(groups, np.int64)
    moment = np.zeros((groups, 2), np.int64)
    for here in range(len(pixels)):
        if at[here] == 0:
            continue
        own = leader[at[here]]
        at[here] = own
        y, x = pixels[here] // width, pixels[here] % width
        arrived = np.int64(arrivals[here])
        component[own] = components[y, x]
        total[own] += arrived
        moment[own, 0] += arrived * y
        moment[own, 1] += arrived * x
    return at, component, total, moment


def _joined(groups: _Endpoints, join: float) -> NDArray[np.uint32]:
    """Joins groups to nuclei: number 1..N of each group's nucleus, (S + 1,); 0 for entry 0."""
    count, pixels = len(groups.pixels), groups.pixels
    reach = join * np.sqrt(pixels / np.pi)
    places = groups.moment_px[1:] / pixels[1:, np.newaxis]
    pairs = cKDTree(places).query_pairs(float(reach.max()) + 1e-3, output_type="ndarray") + 1
    one, other = pairs[:, 0], pairs[:, 1]
    apart = (
        groups.moment_px[one] * pixels[other, np.newaxis] - groups.moment_px[other] * pixels[one, np.newaxis]
    )
    away = np.hypot(*(apart / (pixels[one] * pixels[other])[:, np.newaxis]).T)
    near = (groups.component[one] == groups.component[other]) & (away < np.maximum(reach[one], reach[other]))
    links = coo_matrix((np.ones(int(near.sum()), np.bool_), (one[near], other[near])), shape=(count, count))
    return np.asarray(connected_components(links, directed=False)[1], np.uint32)


def _too_small(groups: _Endpoints, group: NDArray[np.uint32], min_marker_px: int) -> NDArray[np.bool_]:
    """Returns which nuclei (N + 1,) are too small and share their component with a larger one."""
    pixels = np.bincount(group, weights=groups.pixels)
    component = np.zeros(len(pixels), np.uint32)
    component[group] = groups.component
    small = pixels < min_marker_px
    beside = np.zeros(int(component.max()) + 1, np.bool_)
    beside[component[~small]] = True
    return np.asarray(small & beside[component], np.bool_)
