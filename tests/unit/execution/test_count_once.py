"""Overlapping fields are compared within a well, whatever the order in which the fields come."""

import pytest

from nucbatch.core.plate import Field, Plane, field_rows
from nucbatch.execution.count_once import covered_mm2


def field(well: str, site: int) -> Field:
    """A field of 100 × 100 µm; the second of a well lies 50 µm to the right of the first."""
    key = f"{well}_{site}"
    return Field(
        well,
        site,
        0,
        key,
        key,
        (Plane(f"{key}.tif", "DAPI"),),
        100,
        100,
        "uint8",
        pixel_size_um=1.0,
        position_um=(50.0, 50.0 * site),
    )


@pytest.mark.parametrize("wells", [("B02", "B02", "B03", "B03"), ("B02", "B03", "B02", "B03")])
def test_the_overlap_of_two_fields_of_a_well_is_covered_once(wells: tuple[str, ...]) -> None:
    fields = [field(well, site=1 + wells[:place].count(well)) for place, well in enumerate(wells)]
    assert covered_mm2(field_rows(fields), frozenset()) == {("B02", 0): 0.015, ("B03", 0): 0.015}
    kept = covered_mm2(field_rows(fields), frozenset(), keep=True)
    assert kept == {("B02", 0): 0.02, ("B03", 0): 0.02}
