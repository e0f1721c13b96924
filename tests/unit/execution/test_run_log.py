"""The log file of a session and the warnings for the report."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from nucbatch.core.log_file import early_records
from nucbatch.execution.run_log import run_log
from nucbatch.store.run_folder import RunFolder

READER = logging.getLogger("nucbatch.readers.example")


def test_warnings_of_reading_the_input_are_in_the_log_and_in_the_report(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "out")
    shown: list[str] = []
    with early_records():
        READER.info("headers read")
        READER.warning("a header of version 9")
        folder.create()
        with run_log(folder, shown.append) as log:
            READER.warning("a header of version 9")
    lines = [line.split(" ", 4)[4] for line in log.read_text().splitlines()]
    assert lines[:2] == ["headers read", "a header of version 9"]
    kept = [json.loads(line)["text"] for line in folder.warnings.read_text().splitlines()]
    assert kept == ["a header of version 9"], "once per session"
    assert shown == []
