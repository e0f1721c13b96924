"""Fields on the stage: which overlap, by how much, and the area that they cover."""

from dataclasses import replace

import pytest

from nucbatch.core.plate import Field, field_rows
from nucbatch.experiment.field_layout import (
    FieldRectangle,
    adjoining_pairs,
    covered_um2,
    fields_apart,
    no_pixel_size,
    overlap_of,
    overlapping_pairs,
    placed_fields,
    repeats_outside_wells,
)


def field(site, y, x, well="B02", t=0, size_um=0.5):
    name = f"{well}/{site}/{t}"
    return Field(well, site, t, name, name, (), 700, 700, "uint16", size_um, position_um=(y, x))


def grid(step_um, rows=3, columns=3, **more):
    return [
        field(1 + row * columns + column, row * step_um, column * step_um, **more)
        for row in range(rows)
        for column in range(columns)
    ]


def test_the_overlap_of_a_grid_is_that_of_its_neighbours():
    assert overlap_of(grid(315)) == pytest.approx(0.1)
    assert overlap_of(grid(350)) == 0
    assert overlap_of(grid(348)) == 0  # rounding of the stage


@pytest.mark.parametrize(("step_um", "expected"), [(315, 0), (348, 12), (350, 12), (352, 12), (400, 0)])
def test_neighbours_that_share_an_edge_without_overlapping_adjoin(step_um, expected):
    rectangles = placed_fields(grid(step_um))["B02", 0]
    pairs = list(adjoining_pairs(rectangles))
    assert len(pairs) == expected
    assert all((j - i == 1) == (axis == 1) for i, j, axis in pairs)


def test_a_given_pixel_size_that_leaves_gaps_is_warned_of():
    assert "gaps of 80 % of their side" in fields_apart(grid(315, size_um=0.25), 0.25)
    assert "touch at 0.45 µm" in fields_apart(grid(315, size_um=0.25), 0.25)
    assert fields_apart(grid(315, size_um=0.25), None) == ""  # the files' own
    assert fields_apart(grid(315), 0.5) == fields_apart(grid(350), 0.5) == ""
    assert fields_apart([field(1, 0, 0)], 0.5) == ""


def test_tiles_outside_a_plate_that_overlap_are_warned_of():
    tiles = grid(315, well="")
    assert "9 of 9 images overlap with another one" in repeats_outside_wells(field_rows(tiles))
    later = [replace(one, t=1, group=f"{one.group}t1") for one in tiles]
    unknown = [replace(one, position_um=None, stage_um=one.position_um) for one in (*tiles, *later)]
    assert "9 of 9 images overlap" in repeats_outside_wells(field_rows(unknown))
    assert repeats_outside_wells(field_rows(grid(315))) == "", "in a well nuclei count once"
    assert repeats_outside_wells(field_rows(grid(350, well=""))) == ""
    assert repeats_outside_wells(field_rows(grid(315, well="", size_um=None))) == ""
    slides = [field(number, 0, 7.0, well="") for number in range(4)]
    assert repeats_outside_wells(field_rows(slides)) == "", "pictures of one place"
    assert repeats_outside_wells(field_rows(tiles[:1])) == ""


def test_the_overlap_is_unknown_without_positions_or_pixel_size():
    assert overlap_of([]) is None
    assert overlap_of([replace(one, position_um=None) for one in grid(315)]) is None
    assert overlap_of(grid(315, size_um=None)) is None
    assert overlap_of(grid(315, well="")) is None


def test_wells_and_time_points_are_not_compared():
    fields = [field(1, 0, 0, "B02"), field(1, 0, 10, "B03"), field(1, 0, 10, t=1), field(2, 0, 900)]
    assert overlap_of(fields) == 0
    assert {where: len(placed) for where, placed in placed_fields(fields).items()} == {
        ("B02", 0): 2,
        ("B03", 0): 1,
        ("B02", 1): 1,
    }


def test_positions_without_a_pixel_size_are_warned_of():
    assert "--pixel-size" in no_pixel_size(field_rows(grid(315, size_um=None)))
    assert no_pixel_size(field_rows(grid(315))) == ""
    assert no_pixel_size(field_rows(replace(one, position_um=None) for one in grid(315, size_um=None))) == ""
    assert (
        no_pixel_size(field_rows([field(1, 0, 0, size_um=None), field(1, 0, 0, "B03", size_um=None)])) == ""
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e300])
def test_impossible_positions_are_no_positions(value):
    assert FieldRectangle.of(field(1, value, 0)) is None
    assert overlap_of([field(1, 0, value), field(2, 0, 315)]) is None


def test_fields_that_cannot_be_used_take_no_place():
    assert overlap_of([field(1, 0, 0), replace(field(2, 0, 315), problem="truncated")]) is None


def test_a_grid_has_its_sides_and_corners_as_pairs():
    (rectangles,) = placed_fields(grid(315)).values()
    pairs = [(i, j) for i, j, _ in overlapping_pairs(rectangles)]
    assert len(pairs) == 12 + 8
    assert {(0, 1), (0, 4)} <= set(pairs)
    assert (0, 2) not in pairs


@pytest.mark.parametrize(
    ("step_um", "expected"), [(350, 9 * 350**2), (315, 980**2), (400, 9 * 350**2), (0, 350**2)]
)
def test_what_several_fields_cover_counts_once(step_um, expected):
    (rectangles,) = placed_fields(grid(step_um)).values()
    assert covered_um2(rectangles) == pytest.approx(expected)


def test_a_hole_in_a_ring_of_fields_is_not_covered():
    ring = [one for one in grid(100) if one.site != 5]
    rectangles = [FieldRectangle.of(replace(one, height_px=200, width_px=200)) for one in ring]
    assert covered_um2(rectangles) == pytest.approx(8 * 100**2)
