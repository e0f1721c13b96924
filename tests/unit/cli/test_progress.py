import io
import re

from rich.console import Console

from nucbatch.cli.progress import RunBar
from nucbatch.store.receipt import Receipt


def receipt(field: str, nuclei: int, status: str = "done") -> Receipt:
    return Receipt(field, status, "", nuclei, "", {}, {}, "")


def shown(terminal: bool) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=120)
    with RunBar(console) as bar:
        bar.begin(5, [receipt("a", 1000)])
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
        "1 of 5 fields are done already; going on.",
        "2/5 fields, 1,500 nuclei",
        "3/5 fields, 1,500 nuclei, 1 failed",
        "4/5 fields, 1,525 nuclei, 1 failed",
    ]
