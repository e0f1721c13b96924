"""GeoJSON annotations, QuPath's and others': a FeatureCollection, a Feature, or a list of features.

Each feature is a nucleus. Of a QuPath cell with a nucleus, the nucleus is taken. Files that hold both
annotations and detections are refused, because regions among them would count as nuclei. Numbers as names of
all features, as ``nucbatch export`` writes them, become the labels.

Source: RFC 7946; ``qupath.lib.io.QuPathTypeAdapters``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nucbatch.core.errors import InputError
from nucbatch.labels.drawing import DrawnObject, Polygon, number_in, polygon_of

_KINDS = ("annotation", "detection", "cell", "tile")


def is_geojson(document: Any) -> bool:
    """Tells whether a JSON document is GeoJSON with features."""
    if isinstance(document, list):
        return bool(document) and all(_type_of(one) == "Feature" for one in document)
    return _type_of(document) in ("FeatureCollection", "Feature")


def objects_of(document: Any, place: str) -> list[DrawnObject]:
    """Returns the objects of a document for which :func:`is_geojson` is true.

    Raises:
        InputError: a feature is damaged or has no area, or it holds regions beside nuclei.
    """
    if isinstance(document, Mapping) and document.get("type") == "FeatureCollection":
        document = document.get("features")
    features = document if isinstance(document, list) else [document]
    kinds = [_kind_of(one) for one in features]
    counts = {kind: kinds.count(kind) for kind in _KINDS if kind in kinds}
    if "annotation" in counts and len(counts) > 1:
        held = " and ".join(f"{count} {kind}s" for kind, count in counts.items())
        raise InputError(
            f"{place}: it holds {held}, and which of them are nuclei isn't clear: export the nuclei alone"
        )
    return [_object_of(one, number, place) for number, one in enumerate(features, start=1)]


def _object_of(feature: Any, number: int, place: str) -> DrawnObject:
    shown = f"feature {number}"
    try:
        properties = feature.get("properties") or {}
        geometry = feature.get("nucleusGeometry") or feature.get("geometry") or {}
        kind, coordinates = geometry.get("type"), geometry.get("coordinates") or []
        if kind == "Polygon":
            parts = [_rings(coordinates)]
        elif kind == "MultiPolygon":
            parts = [_rings(part) for part in coordinates]
        else:
            raise ValueError(f"it is a {kind}, which has no area")
        return DrawnObject(shown, parts, number=number_in(properties.get("name")))
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{place}: {shown} can't be used: {error}") from error


def _rings(rings: Sequence[Any]) -> list[Polygon]:
    if not rings:
        raise ValueError("its polygon is empty")
    return [polygon_of(ring) for ring in rings]


def _kind_of(feature: Any) -> str:
    properties = feature.get("properties") if isinstance(feature, Mapping) else None
    return str(properties.get("objectType", "")) if isinstance(properties, Mapping) else ""


def _type_of(document: Any) -> object:
    return document.get("type") if isinstance(document, Mapping) else None
