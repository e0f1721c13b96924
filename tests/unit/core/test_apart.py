"""Functions called in a process of their own: results, errors and log records come back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest

from nucbatch.core.apart import call_apart
from nucbatch.core.errors import UnreadableImage
from nucbatch.readers.names import plural


def test_its_result_comes_back_from_another_process() -> None:
    assert call_apart(plural, 3, "field") == plural(3, "field")
    assert call_apart(os.getpid) != os.getpid()


def test_its_error_is_raised_with_the_place_where_it_arose() -> None:
    with pytest.raises(ZeroDivisionError) as error:
        call_apart(divmod, 1, 0)
    assert "core/apart.py" in error.value.__notes__[0]


def test_its_errors_keep_what_they_carry_and_its_records_are_handled_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "reading.py").write_text(
        "import logging\n"
        "from nucbatch.core.errors import UnreadableImage\n"
        "def read():\n"
        "    logging.getLogger('nucbatch.reading').warning('%d of %d', 3, 4)\n"
        "    error = UnreadableImage('it is cut short')\n"
        "    error.channels = ('DNA',)\n"
        "    raise error\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    read = import_module("reading").read
    with pytest.raises(UnreadableImage, match=r"^it is cut short$") as error:
        call_apart(read)
    assert error.value.channels == ("DNA",)
    assert caplog.messages == ["3 of 4"]


def test_one_that_is_killed_is_reported() -> None:
    with pytest.raises(ChildProcessError, match="has ended without an answer"):
        call_apart(os._exit, 3)


def test_it_ends_with_its_caller(tmp_path: Path) -> None:
    script = "from nucbatch.core.apart import call_apart; import time; call_apart(time.sleep, 600)"
    caller = subprocess.Popen([sys.executable, "-c", script])
    children = Path(f"/proc/{caller.pid}/task/{caller.pid}/children")
    while not (found := children.read_text().split()):
        time.sleep(0.05)
    caller.kill()
    caller.wait()
    while Path(f"/proc/{found[0]}").exists():
        time.sleep(0.05)
