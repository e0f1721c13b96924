"""The collector is off while things are built, and as it was afterwards."""

import gc

import pytest

from nucbatch.core.errors import InputError
from nucbatch.core.gc_pause import loading, uncollected


@pytest.fixture(autouse=True)
def _as_before():
    yield
    gc.unfreeze()
    gc.enable()


def test_it_is_off_meanwhile_and_on_again() -> None:
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_is_on_again_after_an_error() -> None:
    with pytest.raises(InputError), uncollected():
        raise InputError("as it happens")
    assert gc.isenabled()


def test_who_had_it_off_keeps_it_off() -> None:
    gc.disable()
    with uncollected():
        pass
    assert not gc.isenabled()


def test_what_was_loaded_is_never_looked_at_again() -> None:
    with loading():
        loaded = [[] for _ in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= len(loaded)
    assert not any(found is loaded for found in gc.get_objects())
