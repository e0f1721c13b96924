"""Python's garbage collector, kept from looking at what is just being built.

The decision owned here: where 10⁵ small frozen values are made at once, the collector would go through all of
them again and again, for two thirds of the time, and find nothing: they have no cycles. So it would while
libraries are loaded, for a quarter of the time, and what they leave stays.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """No cycles are looked for while the context lasts."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def loading() -> Iterator[None]:
    """No cycles are looked for while the context lasts, nor later among what there is at its end."""
    with uncollected():
        yield
        gc.freeze()
