import os
import signal
import threading

import pytest

from nucbatch.core.signals import Notice, Stopped


def test_a_signal_is_noted_and_its_handler_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Notice() as notice:
        assert notice.signal == 0
        os.kill(os.getpid(), signal.SIGTERM)
        assert notice.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_repeated_signals_change_nothing_but_a_third_ctrl_c_is_not_waited_for() -> None:
    with Notice() as notice:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGINT):
            os.kill(os.getpid(), number)
        assert notice.signal == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_the_first_signal_alone_is_told_and_patience_can_be_less() -> None:
    told: list[str] = []
    with Notice(impatient=2, tell=lambda: told.append("leaving")) as notice:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert (notice.signal, told) == (signal.SIGTERM, ["leaving"])
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_outside_the_main_thread_nothing_is_noted_and_nothing_breaks() -> None:
    seen: list[int] = []

    def noting() -> None:
        with Notice() as notice:
            seen.append(notice.signal)

    thread = threading.Thread(target=noting)
    thread.start()
    thread.join()
    assert seen == [0]


def test_exit_codes_are_a_shells() -> None:
    assert Stopped(signal.SIGINT, 1, "steps").exit_code == 130
    assert Stopped(signal.SIGTERM, 1, "steps").exit_code == 143
    assert str(Stopped(signal.SIGTERM, 7, "steps")) == "Stopped by SIGTERM after 7 steps"
