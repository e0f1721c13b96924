"""Joins the pieces of oversized objects across blocks, exactly.

Pieces belong to one object where a pixel of one lies in the other; their union is found over all blocks of
an image. The key of an object is its first pixel, as for any other. An object that spans more than
``LARGEST_OBJECT_PX`` gets no key, because it is no nucleus. Objects of ordinary size are whole in each
block that sees them and don't pass through here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from nucbatch.core.tiles import Box
from nucbatch.masks.block import Piece
from nucbatch.masks.objects import LARGEST_OBJECT_PX

Place = tuple[int, int]
"""Row and column of a block."""


@dataclass(frozen=True, slots=True)
class OversizedObject:
    """An object that consists of pieces in several blocks.

    ``key``: linear index of its first pixel in the image; -1 if it is too large to be a nucleus. ``box``: in
    the image. ``members``: (block, label in that block) of each piece.
    """

    key: int
    area_px: int
    box: Box
    members: tuple[tuple[Place, int], ...]


def unite(
    pieces: Mapping[Place, Sequence[Piece]], label_at: Callable[[int], tuple[Place, int]]
) -> list[OversizedObject]:
    """Joins connected pieces to objects, in order of their bounding boxes.

    Args:
        pieces: pieces of each block that has any.
        label_at: returns, for the linear index of a pixel in the image, its block and its label there.
    """
    numbered = [(place, piece) for place in sorted(pieces) for piece in pieces[place]]
    number = {(place, piece.label): index for index, (place, piece) in enumerate(numbered)}
    ends = [
        (index, number[label_at(link)]) for index, (_, piece) in enumerate(numbered) for link in piece.links
    ]
    one, other = np.array(ends, np.int64).reshape(-1, 2).T
    links = coo_matrix((np.ones(len(one), np.bool_), (one, other)), shape=(len(numbered),) * 2)
    group = connected_components(links, directed=False)[1] if numbered else np.zeros(0, np.int32)
    members: dict[int, list[tuple[Place, Piece]]] = {}
    for which, member in zip(group.tolist(), numbered, strict=True):
        members.setdefault(which, []).append(member)
    oversized = [_joined(together) for together in members.values()]
    return sorted(oversized, key=lambda joined: (joined.box, joined.members))


def _joined(together: Sequence[tuple[Place, Piece]]) -> OversizedObject:
    boxes = np.array([piece.box for _, piece in together], np.int64)
    box = Box(*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist())
    return OversizedObject(
        -1 if max(box.shape) > LARGEST_OBJECT_PX else min(piece.key for _, piece in together),
        sum(piece.area_px for _, piece in together),
        box,
        tuple((place, piece.label) for place, piece in together),
    )
