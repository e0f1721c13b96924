"""``nucbatch run``: finds and measures the nuclei of a plate or a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nucbatch.cli.cluster_options import cluster_options
from nucbatch.cli.experiment_options import experiment_options
from nucbatch.cli.headings import HeadedCommand, headed, option
from nucbatch.cli.images_option import IMAGES
from nucbatch.cli.input_options import input_options
from nucbatch.cli.measure_options import measure_options
from nucbatch.cli.segmentation_options import segmentation_options
from nucbatch.cli.selection_options import selection_options
from nucbatch.cli.shared_options import (
    FAIL_FAST,
    OUT,
    OUT_OR_ADDRESS,
    OVERLAPS,
    RESTART,
    TABLE,
    VERIFY,
    WORK,
)
from nucbatch.cli.terminal import terminal
from nucbatch.cli.verbosity import is_quiet, verbosity_options
from nucbatch.core.log_file import early_records

if TYPE_CHECKING:
    from nucbatch.core.segmentation_options import SegmentationOptions
    from nucbatch.core.selection import Selection
    from nucbatch.execution.run_request import InputOptions
    from nucbatch.experiment.description import Experiment
    from nucbatch.schedulers.contract import Scheduling

OUTPUT = (
    OUT,
    option(
        "--labels",
        type=click.Choice(["zarr", "tiff", "both"]),
        default="zarr",
        show_default=True,
        help="Masks as OME-Zarr (with the images), as label TIFFs, or both.",
    ),
    IMAGES,
    option(
        "--ome-zarr",
        type=click.Choice(["0.5", "0.4"]),
        help="Version of the OME-Zarr: 0.5 is Zarr 3 with few files; 0.4 is Zarr 2, for older tools. "
        "[default: 0.5; with --in-place that of the input]",
    ),
    option(
        "--in-place",
        is_flag=True,
        help="Write masks into the images of INPUT, an OME-Zarr, as labels/nuclei, and keep no copy of the "
        "images. Tables go to the output folder.",
    ),
    OVERLAPS,
    TABLE,
)
_SESSION = (
    option("--dry-run", is_flag=True, help="Show what would be done, without doing it."),
    RESTART,
    option(
        "--keep-probabilities",
        is_flag=True,
        help="Keep the network's probabilities in the output folder, about 2 MB per megapixel. Those of "
        "images cut into blocks are always kept.",
    ),
    option(
        "--reuse-probabilities",
        is_flag=True,
        help="Redo objects, measurements and tables with other thresholds from the kept probabilities, "
        "without the network.",
    ),
    VERIFY,
    FAIL_FAST,
)


@click.command(cls=HeadedCommand, short_help="Find the nuclei of a plate or a folder of images.")
@input_options
@selection_options
@headed("Output", OUT_OR_ADDRESS, *OUTPUT[1:], WORK)
@segmentation_options
@experiment_options
@measure_options
@cluster_options
@headed("This session", *_SESSION)
@verbosity_options
@early_records()
def run(
    source: InputOptions,
    selection: Selection,
    out: Path,
    work: Path | None,
    labels: str,
    images: str,
    ome_zarr: str | None,
    in_place: bool,
    overlaps: str,
    table: str,
    segmentation: SegmentationOptions,
    experiment: Experiment | None,
    measure: dict[str, object],
    counted: dict[str, object],
    scheduling: Scheduling,
    block_px: int | None,
    dry_run: bool,
    restart: bool,
    keep_probabilities: bool,
    reuse_probabilities: bool,
    verify: bool,
    fail_fast: bool,
) -> None:
    """Find and measure the nuclei of INPUT: a plate, a folder of images, one image, or a manifest CSV.

    The same command again continues where an earlier one stopped.
    """
    from nucbatch.core.gc_pause import gc_frozen
    from nucbatch.execution.warm_start import load_ahead

    if not dry_run:
        load_ahead(scheduling.name)

    with gc_frozen():
        from nucbatch.cli.carry_out import carry_out
        from nucbatch.cli.run_summary import describe, forecast
        from nucbatch.execution.in_place import require_images_of_their_own
        from nucbatch.execution.run_in_store import work_in
        from nucbatch.execution.run_request import RunRequest
        from nucbatch.schedulers.contract import scheduler
        from nucbatch.store.run_folder import RunFolder

    console = terminal(soft_wrap=True, quiet=is_quiet())
    folder = work_in(out, work)
    prepared = RunRequest(
        source,
        segmentation,
        selection,
        labels,
        ome_zarr,
        in_place,
        overlaps,
        block_px,
        experiment,
        measure,
        counted,
        table,
        images,
    ).prepare(folder)
    describe(console, prepared)
    if dry_run:
        RunFolder(folder).require_usable()
        if in_place:
            require_images_of_their_own(prepared.plan)
        forecast(console, prepared, folder, keep_probabilities=keep_probabilities or reuse_probabilities)
        place = scheduling.place(RunFolder(folder.absolute()).hidden, prepared.plan.plate.name)
        shown = scheduler(scheduling.name).preview(prepared.resources(scheduling.workers), place)
        terminal(soft_wrap=True).print(shown, markup=False)
        return
    carry_out(
        console,
        prepared,
        out,
        work=work,
        scheduling=scheduling,
        restart=restart,
        keep_probabilities=keep_probabilities,
        reuse_probabilities=reuse_probabilities,
        fail_fast=fail_fast,
        verify=verify,
    )
