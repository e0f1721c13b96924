"""``nucbatch screen``: runs many plates, several at once, each in a folder of its own."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nucbatch.cli.cluster_options import cluster_options
from nucbatch.cli.experiment_options import experiment_options
from nucbatch.cli.headings import HeadedCommand, headed, option
from nucbatch.cli.input_options import input_options
from nucbatch.cli.measure_options import measure_options
from nucbatch.cli.run import OUTPUT
from nucbatch.cli.segmentation_options import segmentation_options
from nucbatch.cli.selection_options import selection_options
from nucbatch.cli.shared_options import FAIL_FAST, OUT_OR_ADDRESS, RESTART, VERIFY, WORK
from nucbatch.cli.terminal import terminal
from nucbatch.cli.verbosity import is_quiet, verbosity_options
from nucbatch.object_store import ObjectPath

if TYPE_CHECKING:
    from nucbatch.execution.run_request import InputOptions
    from nucbatch.execution.screen.lane import Outcome
    from nucbatch.schedulers.contract import Scheduling

_MOST_AT_ONCE = 4

_SESSION = (
    option(
        "--at-once",
        type=click.IntRange(min=1),
        metavar="N",
        help="Number of plates that run at the same time; each gets its part of this machine, or a cluster "
        "of its own. [default: one for every two cores, at most 4; with --scheduler cuda: 1]",
    ),
    option("--dry-run", is_flag=True, help="List the plates and what is left to do, without doing it."),
    RESTART,
    VERIFY,
    FAIL_FAST,
)


@click.command(cls=HeadedCommand, short_help="Run many plates, several at once, into one table.")
@input_options
@selection_options
@headed("Output", OUT_OR_ADDRESS, *OUTPUT[1:], WORK)
@segmentation_options
@experiment_options
@measure_options
@cluster_options
@headed("This session", *_SESSION)
@verbosity_options
def screen(
    source: InputOptions,
    out: Path,
    work: Path | None,
    scheduling: Scheduling,
    at_once: int | None,
    dry_run: bool,
    restart: bool,
    verify: bool,
    fail_fast: bool,
    **of_run: Any,
) -> None:
    """Find and measure the nuclei of many plates. INPUT: a manifest, a table or a folder of plates.

    A table of plates has a column Input, the folder or address of each plate, and may have a column Plate. A
    manifest has the columns of CellProfiler's LoadData with Metadata_Plate. Each plate is a run in OUT/PLATE;
    wells.csv, plates.csv and overview.html in OUT join them. OUT may be an address in a store. A plate that
    fails does not stop the others. The same command again continues, and skips complete plates. --plate runs
    one plate and joins nothing.

    Exit code: 0 all plates are complete; 1 nothing could be done; 2 wrong usage; 3 some plates have failures.
    """
    from nucbatch.core.errors import InputError
    from nucbatch.core.signals import Stopped
    from nucbatch.execution.run_in_store import work_in
    from nucbatch.execution.run_request import RunRequest
    from nucbatch.execution.screen.drive import finished_plates, run_screen
    from nucbatch.execution.screen.lane import LaneJob
    from nucbatch.execution.screen.plates import plates_of

    console = terminal(soft_wrap=True, quiet=is_quiet())
    plates = plates_of(source.path)
    only = source.plate_name
    if only:
        plates = [plate for plate in plates if only in (plate.name, plate.of_manifest)]
        if not plates:
            raise InputError(f"{source.path} has no plate {only!r}: --dry-run lists its plates.")
    request = RunRequest(replace(source, plate_name=""), **of_run)
    if dry_run:
        for plate, found in zip(plates, finished_plates(out, plates), strict=True):
            done = "complete" if found else "to do"
            click.echo(f"{plate.name}\t{done}\t{plate.path}")
        return
    lanes = min(at_once or _at_once(scheduling.name), len(plates))
    work_in(out, work)
    place = out if isinstance(out, ObjectPath) else out.absolute()
    job = LaneJob(request, place, scheduling, lanes, work, restart, verify, fail_fast)

    def tell(outcome: Outcome, done: int, total: int) -> None:
        console.print(_line(outcome, done, total), markup=False)

    try:
        result = run_screen(plates, job, tell, joins=not only)
    except Stopped as stopped:
        click.echo(f"{stopped}. Finished results are kept: run the same command again to continue.", err=True)
        sys.exit(stopped.exit_code)
    if not only:
        for what, name in (("Wells", "wells.csv"), ("Plates", "plates.csv"), ("Overview", "overview.html")):
            terminal(soft_wrap=True).print(f"{what}: {out / name}", markup=False)
    sys.exit(result.exit_code)


def _at_once(scheduler_name: str) -> int:
    from nucbatch.schedulers.local import cores

    if scheduler_name == "cuda":
        return 1
    return _MOST_AT_ONCE if scheduler_name != "local" else max(1, min(_MOST_AT_ONCE, cores() // 2))


def _line(outcome: Outcome, done: int, total: int) -> str:
    """Returns the line about a plate that has ended."""
    if outcome.reason:
        said = outcome.reason
    else:
        failed = f", {outcome.fields_failed:,} of them failed" if outcome.fields_failed else ""
        said = f"{outcome.fields:,} fields{failed}, {outcome.nuclei:,} nuclei"
        said += f", {outcome.seconds:.0f} s" if outcome.seconds else ", done before"
    return f"[{done}/{total}] {outcome.name}: {outcome.status}: {said}"
