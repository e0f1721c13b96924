"""LabelMe annotations: one JSON file for each image, with polygons, rectangles, circles or masks.

Each shape is a nucleus; shapes of one label and ``group_id`` are parts of one nucleus. Points and lines are
refused.

Source: ``labelme/label_file.py`` and ``labelme/utils/shape.py`` of LabelMe 5.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import imagecodecs
import numpy as np

from nucbatch.core.errors import InputError
from nucbatch.labels.drawing import DrawnObject, Polygon, polygon_of

_CIRCLE_CORNERS = 360
_MOST_MASK_BYTES = 64 << 20


def is_labelme(document: Any) -> bool:
    """Tells whether a JSON document is LabelMe's."""
    has_shapes = isinstance(document, Mapping) and isinstance(document.get("shapes"), list)
    return has_shapes and "imagePath" in document


def shape_of(document: Any) -> tuple[int, int] | None:
    """Returns the (Y, X) of the image that the document records; None if it records none."""
    height, width = document.get("imageHeight"), document.get("imageWidth")
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def objects_of(document: Any, place: str) -> list[DrawnObject]:
    """Returns the objects of a document for which :func:`is_labelme` is true.

    Raises:
        InputError: a shape is damaged or has no area.
    """
    found: dict[object, DrawnObject] = {}
    for number, shape in enumerate(document["shapes"], start=1):
        shown = f"shape {number}"
        try:
            group = shape.get("group_id")
            key = number if group is None else (str(shape.get("label")), str(group))
            parts, masks = _drawn(shape)
            before = found.get(key, DrawnObject(shown))
            found[key] = DrawnObject(before.name, [*before.parts, *parts], [*before.masks, *masks])
        except (AttributeError, KeyError, TypeError, ValueError, binascii.Error) as error:
            raise InputError(f"{place}: {shown} can't be used: {error}") from error
    return list(found.values())


def _drawn(shape: Mapping[str, Any]) -> tuple[list[list[Polygon]], list[Any]]:
    """Polygons and masks of one shape."""
    kind = shape.get("shape_type") or "polygon"
    points = [(float(x), float(y)) for x, y in shape["points"]]
    if kind == "mask":
        (left, top), *_ = points
        return [], [((round(top), round(left)), _mask(shape["mask"]))]
    if kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points
        points = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    elif kind == "circle" and len(points) == 2:
        (x0, y0), (x1, y1) = points
        angle = np.linspace(0, 2 * np.pi, _CIRCLE_CORNERS, endpoint=False)
        radius = np.hypot(x1 - x0, y1 - y0)
        points = np.stack([x0 + radius * np.cos(angle), y0 + radius * np.sin(angle)], axis=1).tolist()
    elif kind not in ("polygon", "rectangle"):
        raise ValueError(f"it is a {kind} of {len(points)} points, which has no area")
    return [[polygon_of(points)]], []


def _mask(text: str) -> Any:
    """The mask (Y, X) bool of a base64-encoded PNG."""
    content = base64.b64decode(text, validate=True)
    if len(content) > _MOST_MASK_BYTES:
        raise ValueError(f"its mask has {len(content):,} bytes; a nucleus has at most {_MOST_MASK_BYTES:,}")
    try:
        mask = imagecodecs.png_decode(content)
    except (imagecodecs.PngError, ValueError) as error:
        raise ValueError(f"its mask is no PNG ({error})") from error
    if mask.ndim != 2:
        raise ValueError("its mask has several channels")
    return mask != 0
