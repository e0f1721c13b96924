"""Log files: what gets into them, how a line looks, and that others' handlers get what they got before."""

from __future__ import annotations

import logging
import os
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nucbatch.core.log_file import LogFile, early_records, logging_to, new_log

OURS = logging.getLogger("nucbatch.core.example")


def test_a_line_has_time_level_logger_process_and_message(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    with logging_to(LogFile(path)):
        OURS.info("%d fields", 3)
    line = rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z INFO {OURS.name} driver\[{os.getpid()}\] 3 fields\n"
    assert re.fullmatch(line, path.read_text())


def test_names_of_files_bring_in_neither_control_characters_nor_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    with logging_to(LogFile(path)):
        OURS.warning("evil\x1b[2J\u202e\udcff.tif\n2026-01-01T00:00:00.000Z ERROR forged")
    first, second = path.read_text().splitlines()
    assert first.endswith(r"evil\x1b[2J\u202e\udcff.tif")
    assert second == "    2026-01-01T00:00:00.000Z ERROR forged"


def test_a_traceback_stands_below_its_record(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    try:
        raise ValueError("broken")
    except ValueError:
        with logging_to(LogFile(path)):
            OURS.error("Field A/1 failed", exc_info=True)
    lines = path.read_text().splitlines()
    assert lines[0].endswith("Field A/1 failed")
    assert lines[1] == "    Traceback (most recent call last):"
    assert lines[-1] == "    ValueError: broken"


def test_libraries_are_logged_from_warning_wherever_their_records_go(tmp_path: Path) -> None:
    path, apart = tmp_path / "a.log", logging.getLogger("library_apart")
    apart.propagate = False
    try:
        with logging_to(LogFile(path)):
            for library in (apart, logging.getLogger("library")):
                library.setLevel(logging.DEBUG)
                library.info("not this")
                library.warning("but this")
    finally:
        apart.propagate = True
    assert [line.split(" ", 4)[2:5:2] for line in path.read_text().splitlines()] == [
        ["library_apart", "but this"],
        ["library", "but this"],
    ]


def test_handlers_of_the_caller_get_what_they_got_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with logging_to(LogFile(tmp_path / "a.log")):
        OURS.info("not this")
        OURS.warning("but this")
    OURS.info("nor this")
    assert caplog.messages == ["but this"]
    assert "not this" in (tmp_path / "a.log").read_text()


def test_debug_is_logged_where_the_logger_is_set_to_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "nucbatch"), logging_to(LogFile(tmp_path / "a.log")):
        OURS.debug("details")
    assert "details" in (tmp_path / "a.log").read_text()
    assert caplog.messages == ["details"]


def test_records_from_before_a_log_are_its_first_lines(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, library = tmp_path / "a.log", logging.getLogger("imaging_library")
    with early_records():
        OURS.info("headers read")
        library.warning("an odd tag")
        library.info("not this")
        with early_records(), logging_to(LogFile(path)):
            OURS.info("locked")
        OURS.info("too late")
        with logging_to(LogFile(tmp_path / "b.log")):
            OURS.info("second")
    assert [line.split(" ", 4)[4] for line in path.read_text().splitlines()] == [
        "headers read",
        "an odd tag",
        "locked",
    ]
    assert caplog.messages == ["an odd tag"], "the terminal gets each record once"
    assert [line.split(" ", 4)[4] for line in (tmp_path / "b.log").read_text().splitlines()] == ["second"]


def test_records_of_a_command_that_never_began_a_log_are_not_in_the_next(tmp_path: Path) -> None:
    with early_records():
        OURS.info("of a refused input")
    with early_records(), logging_to(LogFile(tmp_path / "a.log")):
        OURS.info("of the next")
    assert "refused" not in (tmp_path / "a.log").read_text()


def test_two_logs_of_the_same_second_are_two_files(tmp_path: Path) -> None:
    now = datetime(2026, 3, 1, 21, 4, 5, tzinfo=UTC)
    names = [new_log(tmp_path, now).name for _ in range(3)]
    assert names == ["2026-03-01T210405Z.log", "2026-03-01T210405Z-2.log", "2026-03-01T210405Z-3.log"]


def test_a_log_that_cannot_be_written_says_so_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with logging_to(LogFile(tmp_path / "gone" / "gone" / "a.log")):
        OURS.info("one")
        OURS.info("two")
    assert capsys.readouterr().err.count("can't be written: No such file or directory") == 1
