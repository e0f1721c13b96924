"""The collector is off while things are built, and as it was afterwards."""

import gc

import pytest

from nucbatch.core.errors import InputError
from nucbatch.core.gc_pause import gc_frozen, gc_paused


@pytest.fixture(autouse=True)
def _as_before():
    yield
    gc.unfreeze()
    gc.enable()


def test_collection_is_disabled_inside_and_restored_after() -> None:
    with gc_paused():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_collection_is_restored_after_an_error() -> None:
    with pytest.raises(InputError), gc_paused():
        raise InputError("as it happens")
    assert gc.isenabled()


def test_disabled_collection_stays_disabled() -> None:
    gc.disable()
    with gc_paused():
        pass
    assert not gc.isenabled()


def test_loaded_objects_are_frozen() -> None:
    with gc_frozen():
        loaded = [[] for _ in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= len(loaded)
    assert not any(found is loaded for found in gc.get_objects())
