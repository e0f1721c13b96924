"""Loads what the end of a run needs while its workers still work, so that tables and report come sooner."""

from __future__ import annotations

import sys
from importlib import import_module
from threading import Thread

from nucbatch.core.gc_pause import gc_paused

_MODULES = ("nucbatch.execution.experiment_tables", "nucbatch.execution.finalise", "nucbatch.report.page")


def load_end_ahead() -> None:
    """Starts a thread that loads libraries, templates and compiled kernels, unless they are loaded."""
    if not sys.modules.keys() >= set(_MODULES):
        Thread(target=_load, name="nucbatch-end").start()


def _load() -> None:
    with gc_paused():
        for name in _MODULES:
            import_module(name)
    from nucbatch.report.page import load_ahead

    load_ahead()
