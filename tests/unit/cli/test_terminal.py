"""Nothing that a name holds reaches a terminal as a command to it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from rich.table import Table
from rich.text import Text

from nucbatch.cli.terminal import log_to_terminal, say_error, terminal
from nucbatch.core.escape import printable

EVIL = "evil\x1b[2J\x9b\u202e\udcff"
SHOWN = r"evil\x1b[2J\x9b\u202e\udcff"


def test_printable_characters_are_unchanged():
    assert printable("B03 µm [bold] 'x'") == "B03 µm [bold] 'x'"
    assert printable(EVIL) == SHOWN
    assert printable("a\nb\tc", keep="\n") == "a\nb\\tc"


@pytest.mark.parametrize("wrap", [str, Text, lambda text: Text.assemble((text, "red"))])
def test_a_console_shows_control_characters_and_does_not_send_them(wrap, capsys):
    console = terminal()
    console.print(wrap(EVIL))
    table = Table()
    table.add_column(Text(EVIL))
    table.add_row(Text(EVIL))
    terminal(soft_wrap=True).print(table)
    said = capsys.readouterr().out
    assert said.startswith(SHOWN + "\n")
    assert "\x1b" not in said
    said.encode()


def test_colours_are_still_colours(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal().print(Text(EVIL, style="red"))
    said = capsys.readouterr().out
    assert said == f"\x1b[31m{SHOWN}\x1b[0m\n"


def test_errors_and_logs_as_well(capsys):
    say_error(f"{EVIL}: is no image\n  next line")
    assert capsys.readouterr().err == f"nucbatch: {SHOWN}: is no image\n  next line\n"
    root = logging.getLogger()
    before = root.handlers[:]
    root.handlers.clear()  # pytest's own
    try:
        log_to_terminal()
        logging.getLogger("tifffile").warning("invalid page offset")
        logging.getLogger("zarr").warning("corrupt %s", EVIL)
    finally:
        root.handlers[:] = before
        logging.captureWarnings(False)
    assert capsys.readouterr().err == f"zarr: corrupt {SHOWN}\n"


@pytest.mark.parametrize("command", [["inspect"], ["inspect", "--json"], ["run", "-o", "out", "--dry-run"]])
def test_a_plate_whose_own_name_is_no_unicode_and_moves_the_cursor(command, tmp_path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/pl\xffate\x1b[2J"))
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", np.eye(40, dtype=np.uint8))
    done = subprocess.run(
        [sys.executable, "-m", "nucbatch", command[0], folder, *command[1:]],
        capture_output=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert b"\x1b" not in done.stdout + done.stderr
    assert rb"pl\xffate" in done.stdout.replace(rb"\\", b"\\")
    done.stdout.decode()


@pytest.mark.slow
def test_a_run_folder_whose_name_is_no_unicode_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in/a.tif", np.eye(40, dtype=np.uint8))
    out = os.fsencode(tmp_path) + b"/out\xff"
    done = subprocess.run(
        [sys.executable, "-m", "nucbatch", "run", tmp_path / "in", "-o", out],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.decode().endswith("/out\\xff is not valid UTF-8: choose another folder with -o.\n")
