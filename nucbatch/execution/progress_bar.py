"""Shows the progress of a run: fields done, nuclei so far, rate, time left, failures."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from nucbatch.core.pace import Pace

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from nucbatch.store.receipt import Receipt


class RunBar:
    """A live progress bar; without a terminal, a line for every tenth of the fields.

    ``clock``: seconds that never decrease, for the time left in a log file. ``counted``: what it counts;
    nuclei are shown for fields only.
    """

    def __init__(
        self, console: Console, clock: Callable[[], float] = time.monotonic, *, counted: str = "fields"
    ) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._console, self._counted = console, counted
        self._clock, self._pace = clock, Pace(10, clock)
        self._bar = Progress(
            TextColumn("[bold]{task.fields[what]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[nuclei]}"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("[red]{task.fields[failures]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(counted, total=None, what=counted, nuclei="", rate="", failures="")
        self._total = self._done = self._nuclei = self._failed = 0
        self._images: dict[str, TaskID] = {}
        self._shown: dict[str, str] = {}
        self._paces: dict[str, Pace] = {}

    def __enter__(self) -> RunBar:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, total: int, done: int, nuclei: int) -> None:
        """Shows the fields that an earlier session has done."""
        self._total, self._done = total, done
        self._pace.begin(self._done, total)
        self._nuclei = nuclei
        if done:
            self._console.print(f"{done} of {total} {self._counted} are done already; continuing.")
        self._bar.reset(  # not update: fields done before don't count for the speed
            self._task,
            total=total,
            completed=self._done,
            what=self._counted,
            nuclei=self._nuclei_so_far,
            rate="",
            failures="",
        )

    def again(self, receipt: Receipt, why: str) -> None:
        """Takes back a field that was counted as done and has to be repeated."""
        self._done -= 1
        self._nuclei -= receipt.nuclei
        self._bar.update(self._task, advance=-1, nuclei=self._nuclei_so_far)
        self.note(f"{receipt.field} is repeated: {why}")

    def advance_image(self, name: str, doing: str, done: int, units: int) -> None:
        """Shows how far a large image is, on a line of its own."""
        if not self._console.is_terminal:
            if name not in self._paces:
                self._paces[name] = Pace(10, self._clock)
                self._paces[name].begin(done, units)
            now = f"{doing}, {done * 10 // units} tenths"
            if self._shown.get(name) != now:
                self._shown[name] = now
                left = self._paces[name].left(done)
                share = f"{done * 100 // units} %" + (f", {left}" if left else "")
                self._console.print(f"{name}: {doing} ({share})", markup=False)
            return
        if name not in self._images:
            self._images[name] = self._bar.add_task(name, what=name, nuclei="", rate="", failures="")
        from rich.markup import escape

        shown = escape(f"{name}: {doing}")
        self._bar.update(self._images[name], total=units, completed=done, what=shown, visible=done < units)

    def note(self, sentence: str) -> None:
        """Prints a sentence for the user."""
        self._console.print(sentence, markup=False)

    @property
    def _nuclei_so_far(self) -> str:
        return f"{self._nuclei:,} nuclei" if self._counted == "fields" else ""

    def advance(self, receipt: Receipt) -> None:
        """Counts one finished field."""
        self._done += 1
        self._nuclei += receipt.nuclei
        self._failed += receipt.status == "failed"
        task = self._bar.tasks[self._task]
        rate = f"{task.speed:.1f} {self._counted}/s" if task.speed else ""
        failures = f"{self._failed} failed" if self._failed else ""
        self._bar.update(self._task, advance=1, nuclei=self._nuclei_so_far, rate=rate, failures=failures)
        if not self._console.is_terminal and self._pace.is_due(self._done):
            left = self._pace.left(self._done)
            parts = (f"{self._done}/{self._total} {self._counted}", self._nuclei_so_far, failures, left)
            self._console.print(", ".join(part for part in parts if part))
