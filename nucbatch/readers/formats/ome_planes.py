"""Order of the planes of an OME image, and which of them a ``TiffData`` element describes.

Source: OME data model 2016-06, ``DimensionOrder`` and ``TiffData``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from math import prod

from nucbatch.core.errors import UnreadableImage

MOST_PLANES = 1_000_000
"""Most planes of an image."""
_UNQUESTIONED = 100_000
"""Planes that metadata of any size may describe; the planes of an acquisition that was stopped early, too."""
PLANE_BYTES = 64
"""Bytes below which no plane is listed, neither as a directory of a TIFF nor as a ``TiffData`` element."""

PlaneKey = tuple[int, int, int]
"""Time point, channel and z-step of a plane, each from 0."""


def plane_order(dimension_order: str, sizes: Mapping[str, int], size_bytes: int) -> list[PlaneKey]:
    """Lists all planes in the order in which they are counted.

    >>> plane_order("XYZCT", {"T": 1, "C": 2, "Z": 2}, size_bytes=4096)
    [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1)]

    Args:
        dimension_order: such as ``"XYCZT"``, the fastest axis first.
        sizes: lengths of the axes T, C and Z; C counts pages, not samples.
        size_bytes: size of the file that holds the metadata.

    Raises:
        UnreadableImage: the order does not name each axis once; or there are no planes, more than any image
            has, or more than such a file can describe.
    """
    count = prod(sizes.values())
    if min(sizes.values()) < 1 or count > MOST_PLANES:
        raise UnreadableImage(f"damaged header (its OME-XML describes {count:,} planes)")
    most = max(_UNQUESTIONED, size_bytes // PLANE_BYTES)
    if count > most:
        raise UnreadableImage(
            f"damaged header (its OME-XML describes {count:,} planes, but a file of {size_bytes:,} bytes at "
            f"most {most:,}): export it again from its source"
        )
    order = dimension_order[2:][::-1]  # slowest axis first, as in an array
    if sorted(order) != ["C", "T", "Z"]:
        raise UnreadableImage(f"damaged header (DimensionOrder {dimension_order!r})")
    indices = (
        dict(zip(order, index, strict=True)) for index in product(*(range(sizes[axis]) for axis in order))
    )
    return [(at["T"], at["C"], at["Z"]) for at in indices]


def described_planes(
    values: Mapping[str, str], places: list[PlaneKey], ranks: Mapping[PlaneKey, int]
) -> Iterator[tuple[PlaneKey, int]]:
    """Yields the planes of a ``TiffData`` in their order, with the directory of each.

    Args:
        values: attributes of the element.
        places: all planes of the image in their order.
        ranks: index of each plane in ``places``.

    Raises:
        UnreadableImage: it begins at a plane that the image does not have, or at a negative directory.
    """
    t, c, z = (int(values.get(f"First{axis}", "0")) for axis in "TCZ")
    begin = ranks.get((t, c, z))
    if begin is None:
        raise UnreadableImage(f"damaged header (TiffData for T {t}, C {c}, Z {z})")
    directory = int(values.get("IFD", "0"))
    if directory < 0:
        raise UnreadableImage(f"damaged header (TiffData with IFD {directory})")
    # OME data model: IFD without PlaneCount means one plane; neither means all following planes.
    count = int(values.get("PlaneCount", "1" if "IFD" in values else str(len(places) - begin)))
    for step, place in enumerate(places[begin : begin + max(count, 0)]):
        yield place, directory + step
