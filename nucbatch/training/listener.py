"""The interface through which a training reports its progress."""

from __future__ import annotations

from typing import Protocol

from nucbatch.training.history import Record


class Listener(Protocol):
    """Receives the progress of a training; called in the main process alone."""

    def started(self, done: int, steps: int) -> None:
        """The training starts after ``done`` of ``steps`` steps."""
        ...

    def step(self, done: int, loss: float, dice: float) -> None:
        """A step is done."""
        ...

    def scored(self, record: Record) -> None:
        """A line was added to the history."""
        ...


class SilentListener:
    """A listener that does nothing."""

    def started(self, done: int, steps: int) -> None: ...

    def step(self, done: int, loss: float, dice: float) -> None: ...

    def scored(self, record: Record) -> None: ...
