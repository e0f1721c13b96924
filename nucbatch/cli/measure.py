"""``nucbatch measure``: measures masks made elsewhere on a plate or a folder of images, without a network."""

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
from nucbatch.cli.selection_options import selection_options
from nucbatch.cli.shared_options import (
    FAIL_FAST,
    OUT_OR_ADDRESS,
    OVERLAPS,
    RESTART,
    TABLE,
    VERIFY,
    WORK,
    FolderPath,
)
from nucbatch.cli.terminal import terminal
from nucbatch.cli.verbosity import is_quiet, verbosity_options
from nucbatch.core.log_file import early_records

if TYPE_CHECKING:
    from nucbatch.core.selection import Selection
    from nucbatch.execution.run_request import InputOptions
    from nucbatch.experiment.description import Experiment
    from nucbatch.schedulers.contract import Scheduling

_MASKS = (
    option(
        "--labels",
        required=True,
        type=FolderPath(),
        help="Masks named after the images: a folder of label images (PNG, TIFF) or of GeoJSON, COCO, "
        "LabelMe or ImageJ's ROIs; an OME-Zarr with labels; or a run's folder.",
    ),
    option(
        "--binary",
        is_flag=True,
        help="The masks only tell nucleus from background: measure their connected components, numbered in "
        "raster order.",
    ),
    option("--channel", default="", help="Channel with the nuclei, if its name doesn't tell."),
)
_OUTPUT = (
    OUT_OR_ADDRESS,
    option(
        "--keep",
        type=click.Choice(["zarr", "tiff", "both"]),
        default="zarr",
        show_default=True,
        help="Copies of the masks: as OME-Zarr with the images, which the report shows; as label TIFFs; or "
        "both.",
    ),
    IMAGES,
    option(
        "--ome-zarr",
        type=click.Choice(["0.5", "0.4"]),
        default="0.5",
        show_default=True,
        help="Version of the OME-Zarr.",
    ),
    OVERLAPS,
    TABLE,
    WORK,
)
_SESSION = (
    option("--dry-run", is_flag=True, help="Show which masks belong to which images, without measuring."),
    RESTART,
    VERIFY,
    FAIL_FAST,
)


@click.command(cls=HeadedCommand, short_help="Measure masks made elsewhere.")
@input_options
@selection_options
@headed("Masks", *_MASKS)
@headed("Output", *_OUTPUT)
@measure_options
@experiment_options
@cluster_options
@headed("This session", *_SESSION)
@verbosity_options
@early_records()
def measure(
    source: InputOptions,
    selection: Selection,
    labels: Path,
    binary: bool,
    channel: str,
    out: Path,
    work: Path | None,
    keep: str,
    images: str,
    ome_zarr: str,
    overlaps: str,
    table: str,
    experiment: Experiment | None,
    measure: dict[str, object],
    counted: dict[str, object],
    scheduling: Scheduling,
    block_px: int | None,
    dry_run: bool,
    restart: bool,
    verify: bool,
    fail_fast: bool,
) -> None:
    """Measure the masks in LABELS on the images of INPUT, which is a plate or a folder of images.

    Tables, report and the list of files are those of a run; no network is used. Object numbers are those of
    the masks. A field without a mask, or with one of another size, fails with the reason, and files.csv lists
    every mask. The same command again continues where an earlier one stopped.
    """
    from nucbatch.core.gc_pause import gc_frozen
    from nucbatch.execution.warm_start import load_ahead

    if not dry_run:
        load_ahead(scheduling.name)

    with gc_frozen():
        from nucbatch.cli.carry_out import carry_out
        from nucbatch.cli.run_summary import describe
        from nucbatch.core.errors import InputError, InputNotFound
        from nucbatch.core.settings import validated
        from nucbatch.execution.prepared import prepare_masks
        from nucbatch.execution.run_in_store import work_in
        from nucbatch.store.run_folder import RunFolder

    console = terminal(soft_wrap=True, quiet=is_quiet())
    if not labels.exists():
        raise InputNotFound(f"{labels} does not exist: --labels takes a folder of masks, or a run's folder.")
    if block_px is not None:
        raise InputError("--block-size has no use here: an image with its mask is measured whole.")
    folder = work_in(out, work)
    if labels.resolve() == folder.resolve():
        raise InputError(f"-o {out} is the folder of the masks: choose another one for the measurements.")
    settings = validated(
        {
            "channel": channel,
            "labels": keep,
            "images": images,
            "ome_zarr": ome_zarr,
            "overlaps": overlaps,
            "table": table,
            "measure": measure,
            "counted": counted,
            "pixel_size_um": source.pixel_size_um,
        }
    )
    plate = source.open(remembered=RunFolder(folder).plate)
    prepared = prepare_masks(plate, labels, settings, binary=binary, selection=selection)
    prepared = prepared.with_experiment(experiment)
    describe(console, prepared)
    if dry_run:
        RunFolder(folder).require_usable()
        for field in prepared.plan.plate.fields:
            mask = field.mask.path if field.mask is not None else field.problem
            terminal(soft_wrap=True).print(f"{field.name}: {mask}", markup=False, highlight=False)
        return
    carry_out(
        console,
        prepared,
        out,
        work=work,
        scheduling=scheduling,
        restart=restart,
        fail_fast=fail_fast,
        verify=verify,
    )
