"""Which images a conversion makes of a plate's fields."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from nucbatch.core.plate import RGB, Channel, Field, Plane, Plate
from nucbatch.core.selection import Selection
from nucbatch.planning.conversion import plan_conversion

CHANNELS = tuple(Channel(name, index) for index, name in enumerate(("DAPI", "GFP", "Red", "Green", "Blue")))


def field(group: str, t: int = 0, *planes: tuple[str, int], well: str = "B02", site: int = 1) -> Field:
    made = tuple(
        Plane(f"{group} {channel} {z}.tif", channel, z, samples=3 if channel == RGB else 1)
        for channel, z in planes or (("DAPI", 0),)
    )
    return Field(well, site, t, group, f"P_{group.replace('/', '_')}", made, 40, 50, "uint16", 0.5)


def plate(*fields: Field, is_plate: bool = True) -> Plate:
    return Plate("P", "/", "x", CHANNELS, fields, (), is_plate=is_plate)


def test_time_points_of_a_site_are_one_image_and_indices_are_those_of_the_tables() -> None:
    first = field("B/2/1t0", 0, ("DAPI", 0), ("DAPI", 3), ("GFP", 3))
    last = replace(field("B/2/1t4", 4), problem="cut short")
    (image,) = plan_conversion(plate(first, last))
    assert (image.group, image.shape) == ("B/2/1", (5, 2, 4, 40, 50))
    assert [(one.t, z, len(one.planes)) for one, z in image.parts()] == [(0, 0, 1), (0, 3, 2)]
    assert image.planes == 3


def test_a_single_time_point_of_a_plate_without_times_has_no_axis_t() -> None:
    (image,) = plan_conversion(plate(field("B/2/1", 0, ("DAPI", 0), (RGB, 0))))
    assert image.shape == (1, 4, 1, 40, 50)
    assert [channel.name for channel in image.channels] == ["DAPI", "Red", "Green", "Blue"]


def test_a_site_of_one_time_point_in_a_plate_of_several_keeps_its_index() -> None:
    (image,) = plan_conversion(plate(field("B/2/1t3", 3)))
    assert (image.group, image.shape[0]) == ("B/2/1", 4)


@pytest.mark.parametrize(
    "change", [{"height_px": 41}, {"dtype": "uint8"}, {"pixel_size_um": 0.6}], ids=lambda one: next(iter(one))
)
def test_time_points_that_differ_are_images_of_their_own(change: dict[str, Any]) -> None:
    one, other = field("B/2/1t0", 0), replace(field("B/2/1t1", 1), **change)
    images = plan_conversion(plate(one, other))
    assert [(image.group, image.shape[0]) for image in images] == [("B/2/1t0", 1), ("B/2/1t1", 1)]


def test_images_outside_a_plate_keep_their_names_unless_they_are_one_film() -> None:
    plot, film0, film1 = (
        field("plot0", 0, well="", site=1),
        field("film_t0", 0, well="", site=2),
        field("film_t1", 1, well="", site=2),
    )
    alone = field("a_t0", 0, well="", site=3)
    images = plan_conversion(plate(plot, film0, film1, alone, is_plate=False))
    assert [(image.group, image.shape[0]) for image in images] == [("plot0", 1), ("film", 2), ("a_t0", 1)]


def test_names_that_would_meet_stay_apart() -> None:
    film = [field(f"film_t{t}", t, well="", site=1) for t in (0, 1)]
    images = plan_conversion(plate(*film, field("film", 0, well="", site=2), is_plate=False))
    assert sorted(image.group for image in images) == ["film", "film_t0", "film_t1"]


def test_what_is_not_selected_changes_no_shape() -> None:
    fields = [field(f"B/2/1t{t}", t, ("DAPI", 0), ("GFP", t)) for t in (0, 1)]
    whole, part = (
        plan_conversion(plate(*fields), selection)[0]
        for selection in (Selection(), Selection.parse(times="0"))
    )
    assert whole.shape == part.shape == (2, 2, 2, 40, 50)
    assert [(one.t, z) for one, z in part.parts()] == [(0, 0)]


def test_an_image_without_a_usable_field_says_why() -> None:
    (image,) = plan_conversion(plate(replace(field("B/2/1"), problem="cut short")))
    assert (image.problem, image.shape, list(image.parts())) == ("cut short", (0, 0, 0, 0, 0), [])
