"""Positions of the fields of an OME-Zarr plate: the centres of their full resolutions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from nucbatch.core.errors import UnreadableImage
from nucbatch.object_store import each, path_in
from nucbatch.readers.assemble import FieldFacts, FieldKey, Sighting
from nucbatch.zarr_format.ome import form_of


def field_facts(root: str, sightings: Sequence[Sighting], acquisition: str) -> dict[FieldKey, FieldFacts]:
    """Returns the position of each field of a well with several, and the acquisition that is read.

    Writers without positions record the same translation for all fields of a well; it is none.
    """
    of_well: dict[tuple[str, int], list[Sighting]] = defaultdict(list)
    for sighting in sightings:
        of_well[sighting.well, sighting.t].append(sighting)
    facts: dict[FieldKey, FieldFacts] = {}
    several = [
        path_in(root, one.file.path) for fields in of_well.values() if len(fields) > 1 for one in fields
    ]
    centers = each(path_in(root), _center, several)
    for fields in of_well.values():
        places = [next(centers) if len(fields) > 1 else None for _ in fields]
        is_one_place = len(set(places)) == 1
        for one, place in zip(fields, places, strict=True):
            facts[one.key] = FieldFacts(None if is_one_place else place, acquisition=acquisition)
    return facts


def _center(image: Path) -> tuple[float, float] | None:
    try:
        return form_of(image).center_um
    except UnreadableImage:
        return None  # its header is read again, and gives the reason
