"""A process that runs plates one after the other on a cluster that it keeps."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import time
import traceback
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

from nucbatch.core.errors import NucbatchError
from nucbatch.core.safe_path import safe_pythonpath
from nucbatch.core.signals import Stopped
from nucbatch.execution.run_in_store import execute_to, work_in
from nucbatch.execution.run_request import RunRequest
from nucbatch.execution.screen.kept_cluster import KeptCluster
from nucbatch.execution.screen.plates import ScreenPlate
from nucbatch.schedulers.contract import Scheduling
from nucbatch.schedulers.forkserver import end

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LaneJob:
    """What all plates of a screen share.

    Attributes:
        request: the run of each plate; its input is that of the screen.
        out: folder or address of the screen.
        scheduling: where the blocks of a plate run.
        lanes: number of lanes.
        work: for an address, the folder for the working folders of its plates; None for the user's cache.
        restart, verify, fail_fast, keep_probabilities: as in ``execute``.
    """

    request: RunRequest
    out: Path
    scheduling: Scheduling
    lanes: int = 1
    work: Path | None = None
    restart: bool = False
    verify: bool = False
    fail_fast: bool = False
    keep_probabilities: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a plate ended.

    Attributes:
        name: of the plate.
        status: complete, failures, failed, or stopped.
        reason: a sentence for a plate that failed.
        fields, fields_failed, nuclei: counts of its run.
        seconds: time that it took.
        signal: number of the signal that stopped it.
    """

    name: str
    status: str
    reason: str = ""
    fields: int = 0
    fields_failed: int = 0
    nuclei: int = 0
    seconds: float = 0.0
    signal: int = 0


def serve(connection: Connection, job: LaneJob, number: int) -> None:
    """Runs the plates that come through a connection until it gives None; sends the outcome of each."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # between plates; a run handles its signals itself
    logging.getLogger("nucbatch").addHandler(logging.NullHandler())  # each run has its own log
    os.environ.update(safe_pythonpath())
    here = work_in(job.out, job.work)
    kept = KeptCluster(job.scheduling.name, here / ".nucbatch-screen" / f"lane-{number}", job.lanes)
    try:
        while (plate := connection.recv()) is not None:
            connection.send(_run(plate, job, kept))
            if not gc.get_freeze_count():  # what the first plate has loaded stays: a tenth of a plate's time
                gc.freeze()
    except EOFError:  # the screen's process is gone
        _log.debug("Nobody waits for this lane any more")
    finally:
        kept.close()
        end()


def _run(plate: ScreenPlate, job: LaneJob, kept: KeptCluster) -> Outcome:
    began = time.perf_counter()
    out = job.out / plate.name
    source = replace(job.request.source, path=plate.path, plate_name=plate.of_manifest)
    try:
        prepared = replace(job.request, source=source).prepare(work_in(out, job.work))
        result = execute_to(
            prepared,
            out,
            work=job.work,
            scheduling=job.scheduling,
            backend=kept,
            restart=job.restart,
            verify=job.verify,
            fail_fast=job.fail_fast,
            keep_probabilities=job.keep_probabilities,
        )
    except Stopped as stopped:
        return Outcome(plate.name, "stopped", str(stopped), signal=stopped.signal)
    except NucbatchError as error:
        return Outcome(plate.name, "failed", " ".join(str(error).split()))
    except Exception as error:  # noqa: BLE001  # the other plates go on; the traceback is printed
        traceback.print_exc(file=sys.stderr)
        return Outcome(plate.name, "failed", f"an error in nucbatch: {type(error).__name__}: {error}")
    totals = result.totals
    status = "failed" if not totals.fields_done else "complete" if totals.complete else "failures"
    reason = "no field could be done: its files.csv says why" if status == "failed" else ""
    taken_s = time.perf_counter() - began
    fields = totals.fields_done + totals.fields_failed
    return Outcome(plate.name, status, reason, fields, totals.fields_failed, totals.nuclei, taken_s)
