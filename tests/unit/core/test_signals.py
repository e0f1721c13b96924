import os
import signal
import threading

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
        assert (notice.signal, messages) == (signal.SIGTERM, ["leaving"])
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


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
