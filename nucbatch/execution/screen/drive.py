"""Distributes the plates of a screen over lanes, and joins their tables at the end.

A lane is a process that runs one plate at a time. A plate that fails does not stop the others; a lane that
dies costs the plate it was at, and is replaced. Only names and outcomes of plates are held here.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from nucbatch.core.errors import ImageUnavailable, NucbatchError, StoreError
from nucbatch.core.signals import Stopped, StopSignal
from nucbatch.execution.run_in_store import require_address, work_in
from nucbatch.execution.screen.lane import LaneJob, Outcome, serve
from nucbatch.execution.screen.plates import ScreenPlate
from nucbatch.execution.screen.screen_files import read_record, tables_here, write_record
from nucbatch.networks.locate import locate
from nucbatch.object_store import ObjectPath
from nucbatch.report.screen.tables import gather
from nucbatch.store.run_status import read_status

_AT_ONCE = 16


@dataclass(slots=True)
class _Lane:
    process: Any
    connection: Connection
    plate: ScreenPlate | None = None


@dataclass(frozen=True, slots=True)
class ScreenResult:
    """How a screen ended: the outcome of each plate, in the order of the plates."""

    outcomes: tuple[Outcome, ...]

    @property
    def exit_code(self) -> int:
        """0 all plates are complete; 1 nothing could be done; 3 some have failures or failed."""
        status = {outcome.status for outcome in self.outcomes}
        if status <= {"complete"}:
            return 0
        return 1 if status <= {"failed"} else 3


def run_screen(
    plates: Sequence[ScreenPlate],
    job: LaneJob,
    tell: Callable[[Outcome, int, int], None],
    *,
    joins: bool = True,
) -> ScreenResult:
    """Runs all plates that are not complete, and writes the joint tables and the overview page.

    Args:
        plates: the plates.
        job: what they share.
        tell: called for each plate with its outcome, the number of plates done and of all.
        joins: write the joint tables; without it other commands may work in the same folder.

    Raises:
        StoreError: the folder of the screen can't be written.
        Stopped: a signal arrived; the running plates have committed what they were at.
    """
    if isinstance(job.out, ObjectPath):
        require_address(job.out, job.work, job.scheduling)
    same_request = _begin(plates, job, writes=joins)
    outcomes: dict[str, Outcome] = {}
    waiting: deque[ScreenPlate] = deque()
    found: list[Outcome | None] = [None] * len(plates)
    if same_request and not job.restart:
        found = finished_plates(job.out, plates)
    for plate, known in zip(plates, found, strict=True):
        if known is None:
            waiting.append(plate)
        else:
            outcomes[plate.name] = known
            tell(known, len(outcomes), len(plates))
    with _Lanes(job) as lanes, StopSignal(on_first=lanes.leave) as stop:
        while waiting or lanes.busy:
            while waiting and lanes.has_room and not stop.signal:
                lanes.send(waiting.popleft())
            if not lanes.busy:
                break
            for outcome in lanes.next_outcomes():
                outcomes[outcome.name] = outcome
                tell(outcome, len(outcomes), len(plates))
        if stop.signal:
            done = sum(outcome.status in ("complete", "failures") for outcome in outcomes.values())
            raise Stopped(stop.signal, done, "plates")
    ordered = tuple(outcomes[plate.name] for plate in plates)
    if joins:
        write_tables(job.out, ordered)
    if isinstance(job.out, ObjectPath):
        shutil.rmtree(work_in(job.out, job.work), ignore_errors=True)  # logs of the lanes' workers
    return ScreenResult(ordered)


def write_tables(out: Path, outcomes: Sequence[Outcome]) -> None:
    """Writes wells.csv, plates.csv and overview.html of a screen."""
    with tables_here(out, [one.name for one in outcomes]) as here:
        undone = {
            here / one.name: (one.status, one.reason)
            for one in outcomes
            if one.status not in ("complete", "failures") or not (here / one.name / "wells.csv").is_file()
        }
        gather(
            [here / one.name for one in outcomes],
            here / "wells.csv",
            here / "plates.csv",
            here / "overview.html",
            undone=undone,
            named=lambda run: str(out / run.name),
        )


def finished_plates(out: Path, plates: Sequence[ScreenPlate]) -> list[Outcome | None]:
    """Returns the outcome of each plate whose run is complete by its ledger, and None for others."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:  # in a store each plate takes a few requests
        return list(pool.map(finished, [out / plate.name for plate in plates]))


def finished(out: Path) -> Outcome | None:
    """Returns the outcome of a plate whose run is complete by its ledger; None for any other."""
    try:
        found = read_status(out)
    except (NucbatchError, OSError):
        return None
    if found.state != "finished" or found.failed or found.unusable or not (out / "wells.csv").is_file():
        return None
    return Outcome(out.name, "complete", fields=found.done, nuclei=found.nuclei)


def _begin(plates: Sequence[ScreenPlate], job: LaneJob, *, writes: bool) -> bool:
    """Writes the list of plates; returns whether an earlier session had the same request."""
    weights = locate(job.request.segmentation.model).read_bytes()
    digest = hashlib.sha256(repr(job.request).encode() + weights).hexdigest()
    record = {
        "request_sha256": digest,
        "plates": [{"name": plate.name, "input": str(plate.path)} for plate in plates],
    }
    try:
        before = json.loads(read_record(job.out) or b"{}")
    except (OSError, ValueError, ImageUnavailable) as error:
        raise StoreError(f"{job.out} can't be used for a screen: {error}.") from error
    same = isinstance(before, dict) and before.get("request_sha256") == digest
    if writes and (same or not before or job.restart):
        write_record(job.out, json.dumps(record, indent=1) + "\n")
    return same


@dataclass(slots=True)
class _Lanes:
    """The processes of a screen; they are started as they are needed."""

    job: LaneJob
    lanes: list[_Lane] = field(default_factory=list)
    started: int = 0

    def __enter__(self) -> _Lanes:
        return self

    def __exit__(self, *error: object) -> None:
        for lane in self.lanes:
            self._send(lane, None)
        for lane in self.lanes:
            lane.process.join()

    @property
    def busy(self) -> bool:
        return any(lane.plate is not None for lane in self.lanes)

    @property
    def has_room(self) -> bool:
        return len(self.lanes) < self.job.lanes or any(lane.plate is None for lane in self.lanes)

    def send(self, plate: ScreenPlate) -> None:
        """Gives a plate to a lane that waits, or to a new one."""
        lane = next((lane for lane in self.lanes if lane.plate is None), None) or self._start()
        lane.plate = plate
        self._send(lane, plate)

    def next_outcomes(self) -> list[Outcome]:
        """Waits until at least one plate ends."""
        busy = {lane.connection: lane for lane in self.lanes if lane.plate is not None}
        outcomes = []
        for connection in wait(list(busy)):
            lane = busy[connection]  # type: ignore[index]  # only connections are waited for
            plate, lane.plate = lane.plate, None
            try:
                outcomes.append(lane.connection.recv())
            except (EOFError, OSError):
                lane.process.join()
                self.lanes.remove(lane)
                outcomes.append(Outcome(plate.name if plate else "", "failed", _died(lane.process.exitcode)))
        return outcomes

    def leave(self) -> None:
        """Asks the running plates to stop once their blocks are committed."""
        for lane in self.lanes:
            if lane.process.pid and lane.plate is not None:
                os.kill(lane.process.pid, signal.SIGTERM)

    def _start(self) -> _Lane:
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(
            target=serve, args=(there, self.job, self.started), name=f"nucbatch-lane-{self.started}"
        )
        process.start()
        there.close()
        self.started += 1
        self.lanes.append(_Lane(process, here))
        return self.lanes[-1]

    @staticmethod
    def _send(lane: _Lane, plate: ScreenPlate | None) -> None:
        try:
            lane.connection.send(plate)
        except (BrokenPipeError, OSError):
            return  # it has died; the next wait for it says so


def _died(code: int | None) -> str:
    how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    return f"the process of this plate ended by {how}; the same command again continues it"
