import io
import itertools
import re

from rich.console import Console

from nucbatch.core.pace import Pace
from nucbatch.execution.progress_bar import RunBar
from nucbatch.store.receipt import Receipt


def receipt(field: str, nuclei: int, status: str = "done") -> Receipt:
    return Receipt(field, status, "", nuclei, "", {}, {}, "")


def shown(terminal: bool) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=120)
    with RunBar(console, itertools.count(0, 1800).__next__) as bar:  # half an hour between looks at the clock
        bar.begin(5, 1, 1000)
        bar.advance(receipt("b", 500))
        bar.advance(receipt("c", 0, "failed"))
        bar.advance(receipt("d", 25))
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", console.file.getvalue())


def test_a_terminal_shows_fields_nuclei_rate_time_left_and_failures() -> None:
    last = [line for line in re.split(r"[\r\n]+", shown(terminal=True)) if "nuclei" in line][-1]
    assert "4/5" in last
    assert "1,525 nuclei" in last
    assert "fields/s" in last
    assert re.search(r"\d+:\d\d:\d\d", last)
    assert "1 failed" in last


def test_a_log_gets_plain_lines() -> None:
    lines = shown(terminal=False).splitlines()
    assert lines == [
        "1 of 5 fields are done already; continuing.",
        "2/5 fields, 1,500 nuclei, 1:30:00 left",
        "3/5 fields, 1,500 nuclei, 1 failed, 1:00:00 left",
        "4/5 fields, 1,525 nuclei, 1 failed, 0:30:00 left",
    ]


def test_a_log_gets_a_line_early_and_one_each_tenth() -> None:
    pace = Pace(10)
    pace.begin(0, 1000)
    assert [done for done in range(1, 1001) if pace.is_due(done)] == [10, *range(100, 1001, 100)]
    pace.begin(250, 1000)
    assert next(done for done in range(251, 1001) if pace.is_due(done)) == 260


def test_earlier_sessions_do_not_count_for_the_speed_and_the_end_has_no_time_left() -> None:
    times = iter((0.0, 100.0, 120.0))
    pace = Pace(10, lambda: next(times))
    pace.begin(90, 100)
    assert pace.left(90) == ""
    assert pace.left(92) == "0:01:20 left"
    assert pace.left(100) == ""


def test_a_large_image_gets_lines_with_the_time_left() -> None:
    console = Console(file=io.StringIO(), width=120)
    with RunBar(console, itertools.count(0, 60).__next__) as bar:
        bar.begin(1, 0, 0)
        for done in (0, 1, 10, 11, 20):
            bar.advance_image("big", "network", done, 100)
        bar.advance_image("big", "labels", 21, 100)
    assert console.file.getvalue().splitlines() == [
        "big: network (0 %)",
        "big: network (10 %, 0:09:00 left)",
        "big: network (20 %, 0:08:00 left)",
        "big: labels (21 %, 0:11:17 left)",
    ]
