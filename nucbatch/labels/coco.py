"""COCO annotations: polygons, or masks as run lengths, of many images in one JSON file.

Each annotation is a nucleus; several polygons of one are its parts. Crowds (``iscrowd``) mark pixels where
the truth is unknown. Run lengths count down the columns, as numbers or packed in text.

Source: https://cocodataset.org/#format-data; packing: ``rleFrString`` in ``maskApi.c`` of cocoapi.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import InputError
from nucbatch.labels.drawing import DrawnObject, polygon_of
from nucbatch.labels.sources import some


def is_coco(document: Any) -> bool:
    """Tells whether a JSON document holds COCO's images and annotations of objects."""
    return (
        isinstance(document, Mapping)
        and isinstance(document.get("images"), list)
        and isinstance(document.get("annotations"), list)
    )


def images_of(
    document: Any, annotations: Collection[object], place: str
) -> list[tuple[int | str, str, tuple[int, int]]]:
    """Returns the id, file name and shape (Y, X) of each image.

    Args:
        document: as parsed.
        annotations: ids of the images that annotations name.
        place: the file, for messages.

    Raises:
        InputError: an image lacks one of them, two share an id, or annotations name an image not listed.
    """
    found: dict[object, tuple[int | str, str, tuple[int, int]]] = {}
    for number, image in enumerate(document["images"], start=1):
        try:
            identity, shape = image["id"], (int(image["height"]), int(image["width"]))
            name = str(image["file_name"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{place}: image {number} lacks its id, file_name, height or width ({error})"
            ) from error
        if not isinstance(identity, int | str) or identity in found or min(shape) < 1:
            raise InputError(f"{place}: image {number} has no id of its own, or no size")
        found[identity] = identity, name, shape
    lost = [str(one) for one in annotations if one not in found]
    if lost:
        raise InputError(f"{place}: annotations belong to images that it doesn't list: ids {some(lost, 5)}")
    return list(found.values())


def has_crowd(annotations: Sequence[Mapping[str, Any]]) -> bool:
    """Tells whether one of the annotations is a crowd."""
    return any(one.get("iscrowd", 0) for one in annotations)


def by_image(document: Any, place: str) -> dict[object, list[Mapping[str, Any]]]:
    """Returns the annotations of each image by its id, in the order of the file.

    Raises:
        InputError: an annotation is none.
    """
    found: dict[object, list[Mapping[str, Any]]] = {}
    for number, annotation in enumerate(document["annotations"], start=1):
        if not isinstance(annotation, Mapping) or not isinstance(annotation.get("image_id"), int | str):
            raise InputError(f"{place}: annotation {number} can't be used: it has no image_id")
        found.setdefault(annotation["image_id"], []).append(annotation)
    return found


def objects_of(
    annotations: Sequence[Mapping[str, Any]], shape: tuple[int, int], place: str
) -> list[DrawnObject]:
    """Returns the objects of the annotations of one image, whose shape is (Y, X).

    Raises:
        InputError: an annotation is damaged, or has no segmentation.
    """
    found: list[DrawnObject] = []
    for number, annotation in enumerate(annotations, start=1):
        shown = f"annotation {annotation.get('id', number)}"
        try:
            parts, masks = _segmentation(annotation.get("segmentation"), shape)
        except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
            raise InputError(f"{place}: {shown} can't be used: {error}") from error
        found.append(DrawnObject(shown, parts, masks, ignored=bool(annotation.get("iscrowd", 0))))
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
