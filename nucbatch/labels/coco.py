"""COCO annotations: polygons, or masks as run lengths, of many images in one JSON file.

Each annotation is a nucleus; several polygons of one are its parts. Crowds (``iscrowd``) mark pixels where
the truth is unknown. Run lengths count down the columns, as numbers or packed in text.

Source: https://cocodataset.org/#format-data; packing: ``rleFrString`` in ``maskApi.c`` of cocoapi.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import InputError
from nucbatch.labels.drawing import DrawnObject, polygon_of


def is_coco(document: Any) -> bool:
    """Tells whether a JSON document holds COCO's images and annotations of objects."""
    return (
        isinstance(document, Mapping)
        and isinstance(document.get("images"), list)
        and isinstance(document.get("annotations"), list)
    )


def images_of(document: Any, place: str) -> list[tuple[int | str, str, tuple[int, int]]]:
    """Returns the id, file name and shape (Y, X) of each image.

    Raises:
        InputError: an image lacks one of them, or two share an id.
    """
    found: dict[int | str, tuple[int | str, str, tuple[int, int]]] = {}
    for number, image in enumerate(document["images"], start=1):
        try:
            one = image["id"], str(image["file_name"]), (int(image["height"]), int(image["width"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{place}: image {number} lacks its id, file_name, height or width ({error})"
            ) from error
        if one[0] in found or min(one[2]) < 1:
            raise InputError(f"{place}: image {number} has the id of another one, or no size")
        found[one[0]] = one
    return list(found.values())


def crowded(document: Any) -> set[object]:
    """Returns the ids of the images with crowds."""
    annotations = [one for one in document["annotations"] if isinstance(one, Mapping)]
    return {one.get("image_id") for one in annotations if one.get("iscrowd", 0)}


def objects_of(document: Any, image: int | str, shape: tuple[int, int], place: str) -> list[DrawnObject]:
    """Returns the objects of one image, in the order of the file.

    Raises:
        InputError: an annotation is damaged, or has no segmentation.
    """
    found: list[DrawnObject] = []
    for annotation in document["annotations"]:
        shown = "an annotation"
        try:
            if annotation["image_id"] != image:
                continue
            shown = f"annotation {annotation.get('id', len(found) + 1)}"
            parts, masks = _segmentation(annotation.get("segmentation"), shape)
            crowd = bool(annotation.get("iscrowd", 0))
            found.append(DrawnObject(shown, parts, masks, ignored=crowd))
        except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
            raise InputError(f"{place}: {shown} can't be used: {error}") from error
    return found


def _segmentation(
    segmentation: Any, shape: tuple[int, int]
) -> tuple[list[list[NDArray[np.float64]]], list[tuple[tuple[int, int], NDArray[np.bool_]]]]:
    """Polygons and masks of an annotation."""
    if isinstance(segmentation, Mapping):
        size = tuple(int(side) for side in segmentation["size"])
        if size != shape:
            raise ValueError(f"its mask is {size[1]} × {size[0]} px, and its image {shape[1]} × {shape[0]}")
        counts = segmentation["counts"]
        lengths = unpacked(counts) if isinstance(counts, str) else [int(count) for count in counts]
        return [], [((0, 0), mask_of(lengths, shape))]
    if not segmentation:
        raise ValueError("it has no segmentation; a box alone does not outline a nucleus")
    return [[polygon_of(np.reshape(flat, (-1, 2)).tolist())] for flat in segmentation], []


def mask_of(lengths: Sequence[int], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Returns the mask (Y, X) of run lengths down the columns; the first run is background.

    >>> mask_of([1, 2, 3], (3, 2)).tolist()
    [[False, False], [True, False], [True, False]]

    Raises:
        ValueError: the runs don't fill the image.
    """
    if min(lengths, default=-1) < 0 or sum(lengths) != shape[0] * shape[1]:
        raise ValueError(f"its runs fill {sum(lengths):,} pixels of {shape[0] * shape[1]:,}")
    inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(inside, lengths).reshape(shape[1], shape[0]).T


def unpacked(text: str) -> list[int]:
    """Returns the run lengths packed in text: groups of five bits, from the third on as differences.

    >>> unpacked("52203")
    [5, 2, 2, 2, 5]

    Raises:
        ValueError: the text is damaged.
    """
    lengths: list[int] = []
    value = shift = 0
    for letter in text.encode("ascii", errors="replace"):
        group = letter - 48
        if not 0 <= group < 64 or shift > 60:
            raise ValueError("its packed runs are damaged")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("its packed runs are cut short")
    return lengths
