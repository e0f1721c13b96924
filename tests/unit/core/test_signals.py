import io
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from nucbatch.core.signals import Stopped, StopSignal


def test_a_signal_is_recorded_and_its_handler_restored() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopSignal() as notice:
        assert notice.signal == 0
        os.kill(os.getpid(), signal.SIGTERM)
        assert notice.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_third_ctrl_c_aborts_and_other_repeats_have_no_effect() -> None:
    with StopSignal() as notice:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGINT):
            os.kill(os.getpid(), number)
        assert notice.signal == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_the_callback_runs_once_and_the_abort_count_is_configurable() -> None:
    messages: list[str] = []
    with StopSignal(interrupts_to_abort=2, on_first=lambda: messages.append("leaving")) as notice:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert notice.signal == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert messages == ["leaving"]


def test_a_signal_in_the_middle_of_a_line_leaves_the_output_whole(tmp_path: Path) -> None:
    """A handler that printed would end with a reentrant call inside the buffered writer."""
    path = tmp_path / "lines"
    with path.open("wb") as stream:

        class Interrupts(io.RawIOBase):
            def writable(self) -> bool:
                return True

            def write(self, content: Any) -> int:
                if not stream.tell():
                    os.kill(os.getpid(), signal.SIGTERM)
                return stream.write(content)

        output = io.BufferedWriter(Interrupts())

        def say(line: bytes) -> None:
            output.write(line)
            output.flush()

        with StopSignal(on_first=lambda: say(b"leaving\n")):
            say(b"1 of 2\n")
        say(b"2 of 2\n")
    assert path.read_bytes() == b"1 of 2\nleaving\n2 of 2\n"


def test_other_threads_record_no_signal() -> None:
    seen: list[int] = []

    def noting() -> None:
        with StopSignal() as notice:
            seen.append(notice.signal)

    thread = threading.Thread(target=noting)
    thread.start()
    thread.join()
    assert seen == [0]


def test_exit_codes_follow_the_shell() -> None:
    assert Stopped(signal.SIGINT, 1, "steps").exit_code == 130
    assert Stopped(signal.SIGTERM, 1, "steps").exit_code == 143
    assert str(Stopped(signal.SIGTERM, 7, "steps")) == "Stopped by SIGTERM after 7 steps"
