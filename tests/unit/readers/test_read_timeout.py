"""A read that does not come back is given up; one that does, or tells that it is alive, is not."""

import threading

import pytest

from nucbatch.core.errors import UnreadableImage
from nucbatch.readers.read_timeout import MOST_LEFT, hanging, within

SOON_S, LONG_S = 0.05, 60.0


def hung(gate: threading.Event):
    return lambda beat: gate.wait()


def wait_until_none_hangs() -> None:
    """Returns once a read is let through again; what was left behind comes back by itself."""
    while hanging():
        pass


def test_what_comes_back_is_returned_and_what_is_raised_is_raised():
    assert within(LONG_S, "a.tif", lambda beat: 7) == 7
    with pytest.raises(ZeroDivisionError):
        within(LONG_S, "a.tif", lambda beat: 1 // 0)


def test_a_read_that_hangs_is_given_up_with_the_file_the_time_and_the_mend():
    gate = threading.Event()
    with pytest.raises(UnreadableImage, match=r"^a\.tif: not read within 0\.05 s: .*--read-timeout"):
        within(SOON_S, "a.tif", hung(gate))
    gate.set()
    wait_until_none_hangs()


def test_a_read_of_many_steps_may_take_longer_than_one():
    pause = threading.Event()  # never set: waiting for it is the step's work

    def steps(beat):
        for _ in range(8):
            pause.wait(0.2)
            beat()
        return "whole"

    assert within(1.0, "a.tif", steps) == "whole"


def test_where_many_hang_the_rest_is_refused_at_once_until_one_comes_back():
    gate = threading.Event()
    for _ in range(MOST_LEFT):
        with pytest.raises(UnreadableImage, match="not read within"):
            within(SOON_S, "a.tif", hung(gate))
    with pytest.raises(UnreadableImage, match=rf"^b\.tif: not read, because {MOST_LEFT} reads before it"):
        within(LONG_S, "b.tif", lambda beat: 7)
    gate.set()
    wait_until_none_hangs()
    assert within(LONG_S, "b.tif", lambda beat: 7) == 7


def test_a_read_that_is_busy_is_not_blamed_on_the_share():
    gate = threading.Event()

    def decoding(beat):
        while not gate.is_set():
            pass

    with pytest.raises(UnreadableImage, match=r"^a\.tif: not decoded within 1 s, .* of which the processor"):
        within(1.0, "a.tif", decoding)
    gate.set()
    wait_until_none_hangs()
