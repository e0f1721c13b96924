"""``nucbatch demo``: a synthetic plate with known truth, run the whole way, scored against the truth."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nucbatch.cli.terminal import terminal
from nucbatch.cli.verbosity import is_quiet, verbosity_options

if TYPE_CHECKING:
    from rich.console import Console

    from nucbatch.store.folder import RunFolder

_MARK = ".nucbatch-demo"


@click.command(short_help="Make a synthetic plate, run it the whole way and score it.")
@click.option(
    "-o",
    "--out",
    default="nucbatch-demo",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder for the plate, its truth and the run; must be new or an earlier demo's.",
)
@click.option("--model", default="default", show_default=True, help="A shipped model, or a weight file.")
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes; one per core if not given.")
@click.option("--seed", default=0, show_default=True, help="Draws another plate.")
@verbosity_options
def demo(out: Path, model: str, workers: int | None, seed: int) -> None:
    """Make a synthetic plate, find its nuclei the whole way, and compare them with the truth.

    One well is empty and one file is cut short on purpose: look for both in the report.
    """
    from rich.text import Text

    from nucbatch.core.gc_pause import gc_frozen
    from nucbatch.execution.warm_start import load_ahead

    load_ahead("local")

    with gc_frozen():
        from nucbatch.api import execute, prepare
        from nucbatch.cli.progress import RunBar
        from nucbatch.cli.run import summarise
        from nucbatch.core.settings import RunSettings
        from nucbatch.core.signals import Stopped
        from nucbatch.networks.checkpoint import locate
        from nucbatch.readers.find import open_plate
        from nucbatch.synthetic import make_plate

    console, results = terminal(soft_wrap=True, quiet=is_quiet()), terminal(soft_wrap=True)
    locate(model)  # before an earlier demo is thrown away
    plate, truth, run = _emptied(out)
    with console.status("Drawing a synthetic plate ..."):
        drawn = make_plate(plate, seed=seed, truth_folder=truth)
    wells = len(drawn.counts())
    console.print(Text(f"Drew {sum(row.count for row in drawn.rows):,} nuclei in {wells} wells: {plate}"))
    prepared = prepare(open_plate(plate), RunSettings(channel="DAPI", model=model))
    try:
        with RunBar(console) as bar:
            result = execute(prepared, run, workers=workers, progress=bar)
    except Stopped as stopped:
        click.echo(f"{stopped}. The next demo begins anew.", err=True)
        sys.exit(stopped.exit_code)
    summarise(results, result)
    for name in drawn.truncated:
        console.print(
            f"The failed field is meant: a file of {name} was cut short on purpose, to show what a run does "
            "with it."
        )
    _compare(results, drawn.folder, result.folder)
    console.print(
        Text(
            f"Open next: the table {result.folder.wells}, the report {result.folder.report}, and in napari "
            f"(with napari-ome-zarr) {result.folder.plate_zarr}"
        )
    )


def _emptied(out: Path) -> tuple[Path, Path, Path]:
    """The places of plate, truth and run in ``out``, which is new, empty, or an earlier demo's.

    Only a folder that a demo has marked as its own is cleared: one called "plate" may be somebody's plate.

    Raises:
        StoreError: it holds anything else, or can't be written.
    """
    import shutil

    from nucbatch.core.errors import StoreError
    from nucbatch.store.atomic import cannot_write

    parts = out / "plate", out / "truth", out / "run"
    mark = out / _MARK
    try:
        out.mkdir(parents=True, exist_ok=True)
        strangers = sorted({path.name for path in out.iterdir()} - {path.name for path in (*parts, mark)})
        if strangers or (not mark.is_file() and any(out.iterdir())):
            shown = strangers[0] if strangers else "a plate, truth or run that no demo made"
            raise StoreError(f"{out} holds {shown}: it is no demo's folder. Name a new one with -o.")
        mark.touch()
        for part in parts:
            if part.exists():
                shutil.rmtree(part)
    except StoreError:
        raise
    except OSError as error:
        raise cannot_write(out, error) from error
    return parts


def _compare(console: Console, truth: Path, folder: RunFolder) -> None:
    """The run's labels against what was drawn; the field whose file was cut short has neither."""
    import pandas as pd

    from nucbatch.labels.label_files import label_files
    from nucbatch.readers.pixels import read_image
    from nucbatch.scoring import score_images
    from nucbatch.store.images import read_labels

    fields = pd.read_parquet(folder.fields)
    groups = dict(zip(fields["Name"], fields["Metadata_Image"], strict=True))
    table = score_images(
        (name, read_image(path), read_labels(folder, groups[name]))
        for name, path in label_files(truth).items()
    )
    pooled = table.pooled
    blank = sum(1 for row in table.rows if row.objects.truth == 0)
    invented = sum(row.objects.predicted for row in table.rows if row.objects.truth == 0)
    console.print(
        f"Against the truth: {pooled.objects.predicted:,} found of {pooled.objects.truth:,} drawn; pixel F1 "
        f"{pooled.pixels.f1:.3f}; object F1 at IoU 0.5 {pooled.objects.f1(0.5):.3f}; {invented} nuclei "
        f"invented in {blank} empty {'field' if blank == 1 else 'fields'}"
    )
