"""``Progress``: the interface through which a run reports to its user, and one that reports nothing."""

from __future__ import annotations

from typing import Protocol

from nucbatch.store.receipt import Receipt


class Progress(Protocol):
    """Reports a run's progress to the user."""

    def begin(self, total: int, done: int, nuclei: int) -> None:
        """Starts: the run has ``total`` fields, of which ``done`` with ``nuclei`` are done already."""
        ...

    def advance(self, receipt: Receipt) -> None:
        """Counts one more field as done or failed."""
        ...

    def again(self, receipt: Receipt, why: str) -> None:
        """Takes back a field that counted as done; it will be done again."""
        ...

    def advance_image(self, name: str, doing: str, done: int, units: int) -> None:
        """Reports the stage of a large image, and how many of its units are done."""
        ...

    def note(self, sentence: str) -> None:
        """Shows a message to the user."""
        ...


class SilentProgress:
    """Reports nothing."""

    def begin(self, total: int, done: int, nuclei: int) -> None:
        pass

    def advance(self, receipt: Receipt) -> None:
        pass

    def again(self, receipt: Receipt, why: str) -> None:
        pass

    def advance_image(self, name: str, doing: str, done: int, units: int) -> None:
        pass

    def note(self, sentence: str) -> None:
        pass
