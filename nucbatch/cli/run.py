"""``nucbatch run``: finds and measures the nuclei of a plate or a folder of images."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nucbatch.cli.cluster import cluster_options
from nucbatch.cli.diameter import diameter_asked, diameter_in_px
from nucbatch.cli.options import INTERRUPTED, input_options
from nucbatch.cli.terminal import terminal
from nucbatch.cli.verbosity import is_quiet, verbosity_options

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rich.console import Console

    from nucbatch.api import Prepared, RunResult


@click.command(short_help="Find the nuclei of a plate or a folder of images.")
@input_options
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Output folder of the run.")
@click.option("--model", default="default", show_default=True, help="A shipped model, or a weight file.")
@click.option("--channel", default="", help="Channel with the nuclei, if its name doesn't tell.")
@cluster_options
@click.option(
    "--workers", type=click.IntRange(min=1), help="Number of worker processes. [default: one per core]"
)
@click.option(
    "--block-size",
    "block_px",
    type=int,
    metavar="PX",
    help="Cut images longer than this into blocks of this side; results don't depend on it. "
    "[default: 2048, for images of more than 4096]",
)
@click.option(
    "--labels",
    type=click.Choice(["zarr", "tiff", "both"]),
    default="zarr",
    show_default=True,
    help="Masks as OME-Zarr (with the images), as label TIFFs, or both.",
)
@click.option(
    "--diameter",
    metavar="D",
    help="Typical diameter of a nucleus, to which images are rescaled for the model: 60 (px), or 12um. "
    "none: no rescaling. auto: reduce images whose nuclei are much larger than the model knows, those of a "
    "plate all alike. [default: auto]",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16", "fp16"]),
    default="fp32",
    show_default=True,
    help="Numeric precision of the network. bf16 is up to twice as fast on processors that have it, and "
    "refused on those that would only emulate it; fp16 is for GPUs.",
)
@click.option(
    "--normalise",
    metavar="METHOD",
    help="foreground: by the levels of background and foreground. percentiles: 1 and 99.8 of all pixels. "
    "LOW,HIGH: these grey levels. [default: as the model was trained]",
)
@click.option(
    "--normalise-over",
    type=click.Choice(["field", "plate"]),
    help="One normalisation per field, or one for all fields, from up to 64 of them. [default: field]",
)
@click.option("--foreground", type=float, help="Least probability of a nucleus' pixels (0 to 1).")
@click.option("--join", type=float, help="Merge centres closer than this fraction of the radius.")
@click.option(
    "--merge",
    type=float,
    help="Merge neighbouring nuclei where the interior map on their border exceeds this fraction of the "
    "lower of their maxima; 1 never.",
)
@click.option(
    "--interior", type=float, help="Least interior value of a nucleus' centre, for models without offsets."
)
@click.option("--min-area", "min_area_px", type=int, help="Area of the smallest nucleus, in px.")
@click.option(
    "--reuse-probabilities",
    is_flag=True,
    help="Redo the objects with other thresholds from the stored probabilities, without the network.",
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first file or field that can't be used.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, without doing it.")
@click.option(
    "--verify",
    is_flag=True,
    help="Compare the checksums of all finished results; damaged ones are made again.",
)
@click.option("--restart", is_flag=True, help="Delete an earlier run in the folder first.")
@verbosity_options
def run(
    source: Path,
    layout: str,
    acquisition: str,
    pattern: str,
    pixel_size_um: float | None,
    resolution_um: float | None,
    root: Path | None,
    read_timeout_s: float,
    out: Path,
    model: str,
    channel: str,
    scheduler_name: str,
    scheduler_settings: Mapping[str, Any],
    insecure: bool,
    workers: int | None,
    block_px: int | None,
    labels: str,
    diameter: str | None,
    precision: str,
    normalise: str | None,
    normalise_over: str | None,
    foreground: float | None,
    join: float | None,
    merge: float | None,
    interior: float | None,
    min_area_px: int | None,
    reuse_probabilities: bool,
    fail_fast: bool,
    dry_run: bool,
    verify: bool,
    restart: bool,
) -> None:
    """Find and measure the nuclei of INPUT: a plate, a folder of images, one image, or a manifest CSV.

    The same command again continues where an earlier one stopped.
    """
    from nucbatch.core.gc_pause import gc_frozen
    from nucbatch.execution.warm_start import load_ahead

    if not dry_run:
        load_ahead(scheduler_name)

    with gc_frozen():
        from nucbatch.api import execute, prepare
        from nucbatch.cli.progress import RunBar
        from nucbatch.core.settings import validated
        from nucbatch.core.signals import Stopped
        from nucbatch.networks.checkpoint import locate
        from nucbatch.readers.find import open_plate
        from nucbatch.schedulers.contract import Place, scheduler
        from nucbatch.store.folder import RunFolder

    console = terminal(soft_wrap=True, quiet=is_quiet())
    objects = {
        "foreground": foreground,
        "join": join,
        "merge": merge,
        "interior": interior,
        "min_area_px": min_area_px,
    }
    diameter_px = diameter_asked(diameter)
    values: dict[str, object] = {
        "channel": channel,
        "model": model,
        "labels": labels,
        "precision": precision,
        "pixel_size_um": pixel_size_um,
        "diameter_px": "none" if diameter_px is None else diameter_px,
        "normalise": normalisation(normalise, normalise_over),
        "objects": {name: value for name, value in objects.items() if value is not None},
    }
    settings = validated(values)
    locate(model)  # a wrong name fails here, before the headers of a large plate are read
    plate = open_plate(
        source,
        layout=layout,
        acquisition=acquisition,
        pattern=pattern,
        pixel_size_um=pixel_size_um,
        resolution_um=resolution_um,
        root=root,
        remembered=RunFolder(out).plate,
        read_timeout_s=read_timeout_s,
    )
    if diameter is not None and diameter_px is None:
        settings = validated(values | {"diameter_px": diameter_in_px(diameter, plate, pixel_size_um)})
    prepared = prepare(plate, settings, block_px=block_px)
    describe(console, prepared)
    if dry_run:
        RunFolder(out).require_usable()
        forecast(console, prepared)
        place = Place(
            RunFolder(out.absolute()).hidden, plate.name, scheduler_name, scheduler_settings, insecure
        )
        shown = scheduler(scheduler_name).preview(prepared.resources(workers), place)
        terminal(soft_wrap=True).print(shown, markup=False)
        return
    try:
        with RunBar(console) as bar:
            result = execute(
                prepared,
                out,
                scheduler_name=scheduler_name,
                scheduler_settings=scheduler_settings,
                insecure=insecure,
                workers=workers,
                restart=restart,
                reuse_probabilities=reuse_probabilities,
                fail_fast=fail_fast,
                verify=verify,
                progress=bar,
            )
    except Stopped as stopped:
        click.echo(f"{stopped}. Finished results are kept: run the same command again to continue.", err=True)
        sys.exit(stopped.exit_code)
    except KeyboardInterrupt:
        click.echo("\nStopped. Finished results are kept: run the same command again to continue.", err=True)
        sys.exit(INTERRUPTED)
    summarise(terminal(soft_wrap=True), result)
    sys.exit(exit_code(result))


def normalisation(method: str | None, over: str | None) -> dict[str, object]:
    """The settings of ``--normalise`` and ``--normalise-over``.

    Raises:
        InputError: the method is neither a known name nor two numbers.
    """
    from nucbatch.core.errors import InputError

    asked: dict[str, object] = {} if over is None else {"over": over}
    if method is None or method in ("foreground", "percentiles"):
        return asked if method is None else asked | {"method": method}
    try:
        low, high = (float(value) for value in method.split(","))
    except ValueError:
        raise InputError(
            f"there is no --normalise {method}: give foreground, percentiles, or two grey levels such as "
            "100,4000."
        ) from None
    return asked | {"method": "fixed", "low": low, "high": high}


def describe(console: Console, prepared: Prepared) -> None:
    """Prints what the run will do, in a few lines."""
    from rich.text import Text

    from nucbatch.core.plate import projection_text
    from nucbatch.core.tiles import block_grid
    from nucbatch.readers.names import plural
    from nucbatch.readers.plate_summary import Z_HINT

    plan, plate = prepared.plan, prepared.plan.plate
    wells = f"{plural(sum(1 for _ in plate.wells()), 'well')}, " if plate.is_plate else ""
    seen = f"channel {plan.settings.channel}" if plan.settings.channel else "RGB"
    console.print(
        Text(plate.name, style="bold"),
        Text(
            f"({plate.layout}): {wells}{plural(len(plate.fields), 'field')}, {len(plan.usable):,} usable, "
            f"{plan.pixels / 1e6:,.1f} Mpx; {seen}; model {plan.settings.model} ({prepared.card.sha256[:12]})"
        ),
    )
    for steps, count in Counter(field.z_steps for field in plan.usable).most_common():
        if steps > 1:
            console.print(f"{projection_text(steps)}, in {plural(count, 'field')}. {Z_HINT}")
    for sentence in prepared.warnings:
        console.print(Text(sentence, style="yellow"))
    large = [field for field in plan.usable if plan.is_large(field)]
    if large:
        rows, columns = zip(
            *(block_grid((field.height_px, field.width_px), plan.block_px).shape for field in large),
            strict=True,
        )
        blocks = sum(down * across for down, across in zip(rows, columns, strict=True))
        console.print(
            f"{plural(len(large), 'image')} cut into {plural(blocks, 'block')} of {plan.block_px} px; the "
            "probabilities stay in the run's folder."
        )
    if plan.usable:
        needed = prepared.worker_bytes / 2**30
        console.print(f"Up to {needed:.1f} GiB per worker process with one task at a time.")


def forecast(console: Console, prepared: Prepared) -> None:
    """Prints how long the network alone would take."""
    from nucbatch.execution.forecast import core_seconds

    minutes = core_seconds(prepared) / 60
    time = f"{minutes:.1f} minutes" if minutes < 100 else f"{minutes / 60:,.1f} hours"
    console.print(f"The network alone takes {time} on one core like this machine's; divide by the cores.")


def summarise(console: Console, result: RunResult) -> None:
    """Prints the result and the paths of its files; with ``--quiet`` the first line alone."""
    from rich.text import Text

    from nucbatch.core.plate import absent_text
    from nucbatch.features.quality import meaning
    from nucbatch.readers.names import plural

    totals, folder = result.totals, result.folder
    over_time = f" (all {totals.time_points:,} time points together)" if totals.time_points > 1 else ""
    console.print(
        f"[bold]{totals.nuclei:,} {'nucleus' if totals.nuclei == 1 else 'nuclei'}[/] in "
        f"{plural(totals.fields_done, 'field')}{over_time}; {plural(totals.fields_failed, 'field')} failed; "
        f"files: {totals.files_used:,} used, {totals.files_ignored:,} ignored, "
        f"{totals.files_quarantined:,} quarantined"
    )
    if is_quiet():
        return
    if totals.absent_chunks:
        absent = absent_text(totals.absent_chunks, totals.chunks)
        console.print(Text(f"{absent}, read as background. See reason in {folder.files}", "yellow"))
    if totals.diameter_px is not None:
        rescaled = f"; {plural(totals.rescaled, 'field')} rescaled for the model" if totals.rescaled else ""
        console.print(f"Nuclei measure about {totals.diameter_px:.0f} px{rescaled}")
    for flag, count in totals.flagged.items():
        console.print(
            Text(
                f"{plural(count, 'field')} flagged {flag}: {meaning(flag)}. See Flags in {folder.fields}",
                "yellow",
            )
        )
    for what, path in (
        ("Counts per well", folder.wells) if result.is_plate else ("Counts per field", folder.fields),
        ("Nuclei", folder.nuclei),
        ("Files", folder.files),
        ("Report", folder.report),
    ):
        console.print(Text(f"  {what}: {path}"))


def exit_code(result: RunResult) -> int:
    """0 everything is done; 1 no field is; 3 something failed, is quarantined or is missing."""
    if result.totals.fields_done == 0:
        return 1
    return 0 if result.totals.complete else 3
