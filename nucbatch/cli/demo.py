"""``nucbatch demo``: makes a synthetic plate, runs it from start to end, and scores it against its truth."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nucbatch.cli.shared_options import DiskPath
from nucbatch.cli.terminal import terminal
from nucbatch.cli.verbosity import is_quiet, verbosity_options
from nucbatch.core.log_file import early_records

if TYPE_CHECKING:
    from rich.console import Console

    from nucbatch.store.run_folder import RunFolder

_MARK = ".nucbatch-demo"


@click.command(short_help="Make a synthetic plate, run it and score it.")
@click.option(
    "-o",
    "--out",
    default="nucbatch-demo",
    show_default=True,
    type=DiskPath(),
    help="Folder for plate, truth and run; must be new or an earlier demo's.",
)
@click.option("--model", default="default", show_default=True, help="A shipped model, or a weight file.")
@click.option(
    "--workers", type=click.IntRange(min=1), help="Number of worker processes. [default: one per core]"
)
@click.option("--seed", default=0, show_default=True, help="Random seed of the plate.")
@verbosity_options
@early_records()
def demo(out: Path, model: str, workers: int | None, seed: int) -> None:
    """Make a synthetic plate, find its nuclei, and compare them with the truth.

    One well is empty and one file is truncated on purpose; the report shows both.
    """
    from rich.text import Text

    from nucbatch.core.gc_pause import gc_frozen
    from nucbatch.execution.warm_start import load_ahead

    load_ahead("local")

    with gc_frozen():
        from nucbatch.cli.run_summary import summarise
        from nucbatch.core.settings import RunSettings
        from nucbatch.core.signals import Stopped
        from nucbatch.execution.prepared import prepare
        from nucbatch.execution.progress_bar import RunBar
        from nucbatch.execution.session import execute
        from nucbatch.networks.locate import locate
        from nucbatch.readers.find import open_plate
        from nucbatch.schedulers.contract import Scheduling
        from nucbatch.synthetic import make_plate

    console, results = terminal(soft_wrap=True, quiet=is_quiet()), terminal(soft_wrap=True)
    locate(model)  # fails before an earlier demo is deleted
    plate, truth, run = _emptied(out)
    with console.status("Drawing a synthetic plate ..."):
        drawn = make_plate(plate, seed=seed, truth_folder=truth)
    wells = len(drawn.counts())
    console.print(Text(f"Drew {sum(row.count for row in drawn.rows):,} nuclei in {wells} wells: {plate}"))
    prepared = prepare(open_plate(plate), RunSettings(channel="DAPI", model=model))
    try:
        with RunBar(console) as bar:
            result = execute(prepared, run, scheduling=Scheduling(workers=workers), progress=bar)
    except Stopped as stopped:
        click.echo(f"{stopped}. The next demo starts from the beginning.", err=True)
        sys.exit(stopped.exit_code)
    summarise(results, result)
    for name in drawn.truncated:
        console.print(
            f"One failed field is intended: a file of {name} was truncated to show how a run reports it."
        )
    _compare(results, drawn.folder, result.folder)
    console.print(
        Text(
            f"Open next: the table {result.folder.wells}, the report {result.folder.report}, and in napari "
            f"(with napari-ome-zarr) {result.folder.plate_zarr}"
        )
    )


def _emptied(out: Path) -> tuple[Path, Path, Path]:
    """The folders of plate, truth and run in ``out``, which is new, empty, or an earlier demo's.

    Only a folder that a demo has marked as its own is cleared, because any other folder "plate" may be a
    user's.

    Raises:
        StoreError: ``out`` holds anything else, or can't be written.
    """
    import shutil

    from nucbatch.core.errors import StoreError
    from nucbatch.store.atomic import cannot_write

    parts = out / "plate", out / "truth", out / "run"
    mark = out / _MARK
    try:
        out.mkdir(parents=True, exist_ok=True)
        others = sorted({path.name for path in out.iterdir()} - {path.name for path in (*parts, mark)})
        if others or (not mark.is_file() and any(out.iterdir())):
            shown = others[0] if others else "a plate, truth or run of other origin"
            raise StoreError(f"{out} holds {shown}: it is not the folder of a demo. Name a new one with -o.")
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
    """Scores the run's labels against the drawn truth; the field with the truncated file has neither."""
    import pandas as pd

    from nucbatch.labels.label_files import label_files
    from nucbatch.readers.pixels import read_image
    from nucbatch.scoring import score_images
    from nucbatch.store.stored_images import read_labels

    fields = pd.read_parquet(folder.fields)
    groups = dict(zip(fields["Name"], fields["Metadata_Image"], strict=True))
    table = score_images(
        (name, read_image(path), read_labels(folder, groups[name]))
        for name, path in label_files(truth).items()
    )
    pooled = table.pooled
    blank = sum(1 for row in table.rows if row.objects.truth == 0)
    false_nuclei = sum(row.objects.predicted for row in table.rows if row.objects.truth == 0)
    console.print(
        f"Compared with the truth: {pooled.objects.predicted:,} of {pooled.objects.truth:,} nuclei found; "
        f"pixel F1 {pooled.pixels.f1:.3f}; object F1 at IoU 0.5 {pooled.objects.f1(0.5):.3f}; "
        f"{false_nuclei} false nuclei in {blank} empty {'field' if blank == 1 else 'fields'}"
    )
