"""Stage positions and pixel sizes in a manifest that was made from the index of Harmony (Opera Phenix).

pe2loaddata copies the elements of Harmony's index into columns: ``Metadata_ImageResolutionX`` (metres per
pixel) and ``Metadata_PositionX`` and ``Y`` (metres from the centre of the well to the centre of the field, Y
up). Other tables use some of these names with other units or directions. They are therefore read only beside
further columns of Harmony, and only if the values can be metres.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nucbatch.core.pixel_size import not_square, not_square_remark
from nucbatch.readers.assemble import FieldFacts, FieldKey
from nucbatch.readers.layouts.manifest_table import Value

_SIZE, _HEIGHT = "Metadata_ImageResolutionX", "Metadata_ImageResolutionY"
_POSITION = ("Metadata_PositionY", "Metadata_PositionX")
_HARMONY = ("Metadata_AbsPositionZ", "Metadata_AbsTime", "Metadata_MainEmissionWavelength")
_SIZES_M = (1e-8, 1e-4)
_FARTHEST_M = 0.1  # half the width of a plate is 0.064 m
_M_TO_UM = 1e6


def field_facts(
    keys: Sequence[FieldKey], columns: Mapping[str, Sequence[Value]]
) -> tuple[dict[FieldKey, FieldFacts], tuple[str, ...]]:
    """Returns position and pixel size of each field, and remarks about columns that are not read.

    Args:
        keys: field of each row.
        columns: values of the metadata columns, row by row.
    """
    wanted = [name for name in (_SIZE, *_POSITION) if name in columns]
    if not wanted:
        return {}, ()
    if _SIZE not in columns or not any(name in columns for name in _HARMONY):
        return {}, (
            f"{', '.join(wanted)} not read: units and direction are known for tables of Harmony only",
        )
    remarks: list[str] = []
    sides = (_SIZE, _HEIGHT) if _HEIGHT in columns else (_SIZE,)
    sizes = _metres(columns, sides, *_SIZES_M, remarks)
    oblong = next((size for size in sizes if len(size) == 2 and not_square(*size)), None)
    if oblong:
        remarks.append(not_square_remark(oblong[0] * _M_TO_UM, oblong[1] * _M_TO_UM, ", ".join(sides)))
        sizes = []
    places = _metres(columns, _POSITION, 0.0, _FARTHEST_M, remarks)
    facts: dict[FieldKey, FieldFacts] = {}
    unsure: set[FieldKey] = set()
    for row, key in enumerate(keys):
        size = sizes[row][0] if sizes and sizes[row] else None
        place = places[row] if places and places[row] else None
        position = (-place[0] * _M_TO_UM, place[1] * _M_TO_UM) if place else None
        fact = FieldFacts(position, size * _M_TO_UM if size else None)
        if facts.setdefault(key, fact) != fact:
            unsure.add(key)
    if unsure:
        remarks.append(f"{len(unsure):,} fields have rows with different positions or pixel sizes: not read")
    return {key: fact for key, fact in facts.items() if key not in unsure}, tuple(remarks)


def _metres(
    columns: Mapping[str, Sequence[Value]],
    names: Sequence[str],
    least: float,
    most: float,
    remarks: list[str],
) -> list[tuple[float, ...]]:
    """Returns the numbers of each row (empty where one is missing), or none if they can't be metres."""
    if not all(name in columns for name in names):
        return []
    rows: list[tuple[float, ...]] = []
    for values in zip(*(columns[name] for name in names), strict=True):
        numbers = tuple(value for value in values if isinstance(value, float))
        odd = next((value for value in numbers if not least <= abs(value) <= most), None)
        if odd is not None or any(isinstance(value, str) for value in values):
            shown = odd if odd is not None else next(value for value in values if isinstance(value, str))
            remarks.append(f"{', '.join(names)} not read: {shown!r} can't be metres")
            return []
        rows.append(numbers if len(numbers) == len(names) else ())
    return rows
