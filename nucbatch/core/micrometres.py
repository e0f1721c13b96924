"""Which measurements in pixels have a twin in micrometres, where the pixel size is known."""

from __future__ import annotations

from collections.abc import Iterable

_LENGTHS = (
    *(f"Metadata_Nuclei_Location_Center_{axis}" for axis in "XY"),
    *(f"Nuclei_AreaShape_{name}" for name in ("Perimeter", "EquivalentDiameter")),
    *(f"Nuclei_AreaShape_{name}AxisLength" for name in ("Major", "Minor")),
    *(f"Nuclei_AreaShape_{name}FeretDiameter" for name in ("Max", "Min")),
    "Nuclei_Neighbors_FirstClosestDistance_10",
)
_AREAS = ("Nuclei_AreaShape_Area", "Nuclei_AreaShape_ConvexArea", "Cytoplasm_AreaShape_Area")


def twins(names: Iterable[str]) -> dict[str, tuple[str, int]]:
    """Returns the name in micrometres, and the power of the pixel size, of each column that has a twin.

    >>> twins(["Nuclei_AreaShape_Area", "Nuclei_AreaShape_Perimeter", "Nuclei_AreaShape_Extent"])
    {'Nuclei_AreaShape_Area': ('Nuclei_AreaShape_Area_um2', 2), \
'Nuclei_AreaShape_Perimeter': ('Nuclei_AreaShape_Perimeter_um', 1)}
    """
    return {
        name: (f"{name}_um2", 2) if name in _AREAS else (f"{name}_um", 1)
        for name in names
        if name in _LENGTHS or name in _AREAS
    }
