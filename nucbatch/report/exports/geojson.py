"""Outlines as GeoJSON (RFC 7946) that QuPath opens: one feature for each nucleus, in pixels of the image.

Properties are those of QuPath 0.4 and later (``qupath.lib.io.QuPathTypeAdapters``): ``objectType``, ``name``
and ``classification``; ``id`` is a UUID. Coordinates are x, y, from the upper left corner of the first pixel.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.masks.outlines import Outline
from nucbatch.store.atomic import replacing

_CLASS = {"name": "Nucleus", "color": [0, 190, 120]}


def write_geojson(path: Path, outlines: Iterable[Outline], image: str) -> int:
    """Writes a FeatureCollection, one outline in memory; returns the number of features.

    Args:
        path: the file.
        outlines: in the order of the features.
        image: identifies the image, so that each feature has the same id in every export.

    Raises:
        StoreError: the file can't be written.
    """
    count = 0
    with replacing(path, durable=False) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('{"type":"FeatureCollection","features":[')
        for outline in outlines:
            file.write(",\n" if count else "\n")
            file.write(json.dumps(feature(outline, image), separators=(",", ":")))
            count += 1
        file.write("\n]}\n")
    return count


def feature(outline: Outline, image: str) -> dict[str, Any]:
    """Returns the feature of one nucleus: a polygon, or several where its parts touch at corners alone."""
    parts = [[_closed(ring) for ring in part] for part in outline.parts]
    alone = len(parts) == 1
    geometry = {
        "type": "Polygon" if alone else "MultiPolygon",
        "coordinates": parts[0] if alone else parts,
    }
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{image}/{outline.label}")),
        "geometry": geometry,
        "properties": {"objectType": "detection", "name": str(outline.label), "classification": _CLASS},
    }


def _closed(ring: npt.NDArray[np.int64]) -> list[list[int]]:
    points: list[list[int]] = ring.tolist()
    return [*points, points[0]]
