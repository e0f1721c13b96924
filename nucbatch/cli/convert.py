"""``nucbatch convert``: writes a plate or a folder of images as OME-Zarr, without segmenting it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nucbatch.cli.cluster_options import cluster_options
from nucbatch.cli.headings import HeadedCommand, headed, option
from nucbatch.cli.input_options import input_options
from nucbatch.cli.selection_options import selection_options
from nucbatch.cli.shared_options import WORK, RunPath
from nucbatch.cli.terminal import INTERRUPTED, terminal
from nucbatch.cli.verbosity import is_quiet, verbosity_options
from nucbatch.core.log_file import early_records

if TYPE_CHECKING:
    from rich.console import Console

    from nucbatch.core.plate import Plate
    from nucbatch.core.selection import Selection
    from nucbatch.execution.conversion import ConversionResult
    from nucbatch.execution.run_request import InputOptions
    from nucbatch.schedulers.contract import Scheduling

_OUTPUT = (
    option(
        "-o",
        "--out",
        required=True,
        type=RunPath(),
        metavar="NAME.zarr",
        help="The OME-Zarr, or its address such as s3://bucket/NAME.zarr. files.csv, images.csv and the log "
        "are in NAME.convert beside it.",
    ),
    option(
        "--ome-zarr",
        type=click.Choice(["0.5", "0.4"]),
        default="0.5",
        show_default=True,
        help="Version of the OME-Zarr: 0.5 is Zarr 3 with few files; 0.4 is Zarr 2, for older tools.",
    ),
    WORK,
)
_SESSION = (
    option("--dry-run", is_flag=True, help="Show what would be done, without doing it."),
    option("--restart", is_flag=True, help="Delete an earlier conversion with this name first."),
)
_CONTINUE = "Converted images are kept: run the same command again to continue."


@click.command(cls=HeadedCommand, short_help="Write a plate or a folder of images as OME-Zarr.")
@input_options
@selection_options
@headed("Output", *_OUTPUT)
@cluster_options
@headed("This session", *_SESSION)
@verbosity_options
@early_records()
def convert(
    source: InputOptions,
    selection: Selection,
    out: Path,
    work: Path | None,
    ome_zarr: str,
    scheduling: Scheduling,
    block_px: int | None,
    dry_run: bool,
    restart: bool,
) -> None:
    """Write INPUT as OME-Zarr: a plate, a folder of images, one image, or a manifest CSV.

    All z-steps and time points are kept. The same command again continues where an earlier one stopped.
    """
    from nucbatch.core.settings import ConversionSettings, validated_as
    from nucbatch.core.signals import Stopped
    from nucbatch.core.tiles import block_grid
    from nucbatch.execution.conversion_in_store import conversion_folder, convert_to
    from nucbatch.execution.progress_bar import RunBar

    console = terminal(soft_wrap=True, quiet=is_quiet())
    values: dict[str, object] = {"ome_zarr": ome_zarr, "pixel_size_um": source.pixel_size_um}
    settings = validated_as(ConversionSettings, values)
    if block_px is not None:
        block_grid((1, 1), block_px)
    here = conversion_folder(out, work)
    plate = source.open(remembered=here.plate, z_steps=True)
    for remark in plate.remarks:
        console.print(remark, style="yellow", markup=False)
    if dry_run:
        _preview(console, plate, here.store(is_plate=True), selection, block_px, scheduling)
        return
    try:
        with RunBar(console, counted="images") as bar:
            result = convert_to(
                plate,
                out,
                settings,
                bar,
                work=work,
                selection=selection,
                largest_px=block_px,
                scheduling=scheduling,
                restart=restart,
            )
    except Stopped as stopped:
        click.echo(f"{stopped}. {_CONTINUE}", err=True)
        sys.exit(stopped.exit_code)
    except KeyboardInterrupt:
        click.echo(f"\nStopped. {_CONTINUE}", err=True)
        sys.exit(INTERRUPTED)
    _summarise(terminal(soft_wrap=True), result, out)
    sys.exit(_exit_code(result))


def _preview(
    console: Console,
    plate: Plate,
    out: Path,
    selection: Selection,
    largest_px: int | None,
    scheduling: Scheduling,
) -> None:
    """Prints which images would be written, their size, and how workers would start; writes nothing."""
    from nucbatch.execution.conversion_forecast import forecast
    from nucbatch.planning.memory import gib
    from nucbatch.readers.names import plural
    from nucbatch.schedulers.contract import scheduler

    expected = forecast(plate, out, selection=selection, largest_px=largest_px)
    console.print(
        f"{plural(expected.images, 'image')} of {plural(expected.fields, 'field')}, "
        f"{gib(expected.stored_bytes)} with their pyramids, before compression; "
        f"{plural(expected.unusable, 'image')} can't be used",
        markup=False,
    )
    resources = expected.resources(scheduling.workers)
    needed = resources.process_bytes + resources.block_bytes
    console.print(f"Up to {gib(needed)} per worker process with one task at a time.")
    place = scheduling.place(expected.folder.hidden, plate.name)
    terminal(soft_wrap=True).print(scheduler(scheduling.name).preview(resources, place), markup=False)


def _summarise(console: Console, result: ConversionResult, out: Path) -> None:
    """Prints what was converted and where it is; with ``--quiet`` the first line alone."""
    from nucbatch.core.plate import FileStatus
    from nucbatch.readers.names import plural

    counts = ", ".join(f"{count:,} {status}" for status, count in sorted(result.images.items()))
    files = ", ".join(f"{result.files[status]:,} {status.value}" for status in FileStatus)
    console.print(f"{plural(sum(result.images.values()), 'image')}: {counts}; files: {files}", markup=False)
    if is_quiet():
        return
    if result.absent_planes:
        console.print(
            f"{plural(result.absent_planes, 'plane')} absent (a time point, z-step or channel without a file "
            f"that can be used), read as 0. See absent_planes in {result.folder.images_csv}",
            style="yellow",
            markup=False,
        )
    for what, path in (
        ("OME-Zarr", out),
        ("Images", result.folder.images_csv),
        ("Files", result.folder.files),
    ):
        console.print(f"  {what}: {path}", markup=False)


def _exit_code(result: ConversionResult) -> int:
    """0 everything is converted; 1 nothing is; 3 something failed or is quarantined."""
    if not result.images.get("converted"):
        return 1
    return 0 if result.complete else 3
