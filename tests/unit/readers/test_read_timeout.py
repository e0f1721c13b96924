"""A read that hangs times out; one that reports progress does not."""

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


def test_results_and_errors_are_passed_on():
    assert within(LONG_S, "a.tif", lambda beat: 7) == 7
    with pytest.raises(ZeroDivisionError):
        within(LONG_S, "a.tif", lambda beat: 1 // 0)


def test_a_hanging_read_times_out_with_the_remedy():
    gate = threading.Event()
    with pytest.raises(UnreadableImage, match=r"^a\.tif: not read within 0\.05 s: .*--read-timeout"):
        within(SOON_S, "a.tif", hung(gate))
    gate.set()
    wait_until_none_hangs()


def test_each_step_restarts_the_timeout():
    pause = threading.Event()  # never set: waiting for it is the step's work

    def steps(beat):
        for _ in range(8):
            pause.wait(0.2)
            beat()
        return "whole"

    assert within(1.0, "a.tif", steps) == "whole"


def test_many_hanging_reads_make_further_ones_fail_at_once():
    gate = threading.Event()
    for _ in range(MOST_LEFT):
        with pytest.raises(UnreadableImage, match="not read within"):
            within(SOON_S, "a.tif", hung(gate))
    with pytest.raises(
        UnreadableImage, match=rf"^b\.tif: not read, because {MOST_LEFT} earlier reads have hung"
    ):
        within(LONG_S, "b.tif", lambda beat: 7)
    gate.set()
    wait_until_none_hangs()
    assert within(LONG_S, "b.tif", lambda beat: 7) == 7


def test_a_busy_read_is_reported_as_slow_decoding():
    gate = threading.Event()

    def decoding(beat):
        while not gate.is_set():
            pass

    with pytest.raises(UnreadableImage, match=r"^a\.tif: not decoded within 1 s, .* of processor time"):
        within(1.0, "a.tif", decoding)
    gate.set()
    wait_until_none_hangs()
