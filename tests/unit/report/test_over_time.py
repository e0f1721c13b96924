"""Counts over time: a line for each well, gaps where nothing was counted, and means of many time points."""

import re
from itertools import pairwise

from nucbatch.report.over_time import MOST_LINES, MOST_NAMES, MOST_POINTS, render
from nucbatch.report.run_data import RunData


def lines(html):
    """The points of each line by its title; several lists where it is interrupted."""
    found = {}
    for path, title in re.findall(r'<path class="line[^"]*" d="([^"]*)"><title>([^<]*)', str(html)):
        parts = [part.replace("h0.1", "").split("L") for part in path.split("M")[1:]]
        found[title] = [[tuple(map(float, point.split())) for point in part] for part in parts]
    return found


def test_two_time_points_have_the_maps_of_the_plate_alone(make_run):
    run = make_run([make_run.field("B02", 1, 5, time=t) for t in (0, 1)])
    assert render(RunData(run)) == ""
    assert render(RunData(make_run([make_run.field("", 1, 5, time=t) for t in range(9)]))) == ""


def test_each_well_is_a_line_that_ends_where_nothing_was_counted(make_run):
    counts = {"B02": [5, 10, 15, 20], "B03": [4, None, 4, 4], "B04": [None] * 4}
    fields = [
        make_run.field(well, site, count if site == 1 or count is None else count + 2, time=t)
        for well, several in counts.items()
        for t, count in enumerate(several)
        for site in (1, 2)
    ]
    html = render(RunData(make_run(fields)))
    found = lines(html)
    assert set(found) == {"B02", "B03", "B04"}
    (own,) = found["B02"]
    heights = [y for _, y in own]
    steps = [before - after for before, after in pairwise(heights)]
    assert min(steps) > 0, "more nuclei are drawn higher"
    assert max(steps) - min(steps) < 0.2, "by as much for as many: means over fields, 6 to 21"
    assert [len(part) for part in found["B03"]] == [1, 2]
    assert found["B04"] == []
    assert [text for text in ("B02", "B03") if f">{text}</text>" in html] == ["B02", "B03"]


def test_the_median_and_the_controls_stand_out(make_run):
    fields = [make_run.field(f"B{n:02d}", 1, 10 * n + t, time=t) for n in range(1, 6) for t in range(3)]
    kinds = {"Metadata_AssayControl": ["positive"] * 3 + [""] * 9 + ["negative"] * 3}
    html = render(RunData(make_run(fields, **kinds)))
    found = lines(html)
    assert found["median of the wells"] == found["B03"]
    assert re.findall(r'line well (\w+)" d="[^"]*"><title>(\w+)', html) == [
        ("positive", "B01"),
        ("negative", "B05"),
    ]


def test_many_wells_are_drawn_as_an_area_and_their_names_left_out(make_run):
    def of_wells(count):
        names = [f"{'ABCDEFGH'[n // 24]}{n % 24 + 1:02d}" for n in range(count)]
        return render(
            RunData(make_run([make_run.field(name, 1, 5, time=t) for name in names for t in range(3)]))
        )

    few, some, many = map(of_wells, (MOST_NAMES, MOST_NAMES + 1, MOST_LINES + 1))
    assert ">A01</text>" in few
    assert ">A01</text>" not in some
    assert "A01" in lines(some)
    assert set(lines(many)) == {"median of the wells"}
    assert 'class="interval"' in many
    assert f"the median of the {MOST_LINES + 1} wells" in many


def test_a_long_series_is_drawn_by_means_of_several_time_points(make_run):
    counts = [0, 10] * MOST_POINTS
    html = render(
        RunData(make_run([make_run.field("B02", 1, count, time=t) for t, count in enumerate(counts)]))
    )
    ((*points,),) = lines(html)["B02"]
    assert len(points) == MOST_POINTS
    assert len({y for _, y in points}) == 1, "each is the mean of 0 and 10"
    assert "the mean of 2 time points" in html
