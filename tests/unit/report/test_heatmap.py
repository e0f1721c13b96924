"""The plate map: real geometry, and four kinds of well that look different."""

import re

import pytest

from nucbatch.report.heatmap import drawn_size, render, shown_times
from nucbatch.report.run_data import RunData


def cells(html):
    """Class and value of each well by its hover title's name."""
    found = {}
    for title, kind, rest in re.findall(
        r'<title>(.*?)</title><rect class="([a-z ]+)"[^>]*/>(.*?)</g>', str(html), flags=re.DOTALL
    ):
        value = re.search(r"<text[^>]*>([^<]*)</text>", rest)
        found[title.split(":")[0]] = (kind, value[1] if value else "", title)
    return found


def test_the_kinds_of_well_differ(make_run):
    field = make_run.field
    fields = [
        field("B02", 1, 40),
        field("B03", 1, 0),
        field("B04", 1, None),
        field("B05", 1, 7),
        field("B05", 2, None),
        field("B06", 1, None, Status="pending"),
        field("B07", 1, None, Status="not selected"),
        field("B08", 1, 5),
        field("B08", 2, None, Status="not selected"),
    ]
    found = cells(render(RunData(make_run(fields))))
    assert len(found) == 96
    assert found["B02"] == ("counted", "40", "B02: 40 nuclei per field, 1 field counted")
    assert found["B03"] == ("zero", "0", "B03: 0 nuclei per field, 1 field counted")
    assert found["B04"] == ("failed", "", "B04: not counted, 1 field failed")
    assert found["B05"] == ("counted partly", "7", "B05: 7 nuclei per field, 1 field counted; 1 field failed")
    assert found["B06"] == ("pending", "", "B06: not counted, 1 field not processed yet")
    assert found["B07"] == ("unselected", "", "B07: not counted, 1 field not selected")
    assert found["B08"] == (
        "counted partly",
        "5",
        "B08: 5 nuclei per field, 1 field counted; 1 field not selected",
    )
    assert found["A01"] == ("none", "", "A01: no image")


@pytest.mark.parametrize(("well", "count"), [("P24", 384), ("AF48", 1536)])
def test_larger_plates_have_all_their_wells(make_run, well, count):
    found = cells(render(RunData(make_run([make_run.field(well, 1, 3), make_run.field("A01", 1, 12345)]))))
    assert len(found) == count
    assert found[well][2] == f"{well}: 3 nuclei per field, 1 field counted"


def test_a_well_in_which_fields_failed_has_the_colour_of_its_mean_not_of_its_smaller_sum(make_run):
    fields = [make_run.field("B02", site, 50) for site in (1, 2)]
    fields += [make_run.field("B03", 1, 50), make_run.field("B03", 2, None), make_run.field("B04", 1, 10)]
    html = str(render(RunData(make_run(fields))))
    colours = dict(re.findall(r'<title>(B\d+):[^<]*</title><rect [^>]*fill="(#\w+)"', html))
    assert colours["B02"] == colours["B03"] != colours["B04"]


def test_values_are_left_out_where_they_do_not_fit(make_run):
    found = cells(render(RunData(make_run([make_run.field("AF48", 1, 123456), make_run.field("A01", 1, 5)]))))
    assert found["A01"][:2] == ("counted", "")


def test_two_plates_make_two_maps_and_no_plate_makes_none(make_run):
    field = make_run.field
    html = str(render(RunData(make_run([field("B02", 1, 1, plate="one"), field("B02", 1, 2, plate="two")]))))
    assert html.count('class="plate-map"') == 2
    assert html.count('id="hatch"') == 1
    assert "<h3>one</h3>" in html
    assert render(RunData(make_run([field("", 1, 3)]))) == ""


def test_each_time_point_has_a_map_and_they_are_not_added_up(make_run):
    field = make_run.field
    counts = [(0, 1, 10), (0, 2, 5), (1, 1, 12), (1, 2, 8), (7, 1, 40), (7, 2, None)]
    html = str(render(RunData(make_run([field("B02", site, n, time=t) for t, site, n in counts]))))
    assert re.findall(r"<title>B02: ([\d.]+) nuclei", html) == ["7.5", "10", "40"]
    assert re.findall(r"<figcaption>(.*?)</figcaption>", html) == [f"time point {t}" for t in (0, 1, 7)]
    assert html.count('class="colour-bar"') == 1  # one range of colours for all, so that they can be compared
    assert html.count('id="hatch"') == 1


def test_of_many_time_points_some_are_shown_and_it_is_said(make_run):
    assert shown_times(range(12)) == list(range(12))
    assert shown_times([5, 0, 5]) == [0, 5]
    shown = shown_times(range(97))
    assert (len(shown), shown[0], shown[-1]) == (12, 0, 96)
    html = str(render(RunData(make_run([make_run.field("B02", 1, t, time=t) for t in range(97)]))))
    assert html.count('class="plate-map"') == 12
    assert "12 of 97 time points are shown; wells.csv has all" in html


@pytest.mark.parametrize(
    ("recorded", "size"),
    [((4, 6), (4, 6)), ((16, 24), (16, 24)), ((0, 0), (8, 12)), ((2, 12), (8, 12)), ((9000, 9000), (8, 12))],
)
def test_a_map_has_the_recorded_size_if_all_wells_are_on_it(recorded, size):
    assert drawn_size([(1, 2), (3, 6)], recorded) == size
