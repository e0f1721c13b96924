"""``nucbatch score``: predicted labels against true ones, as a table, JSON and CSV.

Both sides may be a run's folder or a folder of label images. Of a run, the fields that were segmented take
part, under their names in fields.parquet.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from nucbatch.scoring import ScoreTable
    from nucbatch.store.folder import RunFolder

Source = dict[str, Callable[[], Any]]

_WORST = 10
_COLUMNS = {
    "nuclei_truth": "truth",
    "nuclei_predicted": "found",
    "pixel_f1": "pixel F1",
    "object_f1_50": "F1 0.5",
    "object_f1_75": "F1 0.75",
    "pq": "PQ",
}


@click.command(short_help="Compare masks with ground truth.")
@click.argument("pred", type=click.Path(path_type=Path))
@click.option(
    "--gt", "truth", required=True, type=click.Path(path_type=Path), help="True labels, paired by stem."
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write every figure there.")
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), help="Write a row per image there.")
def score(pred: Path, truth: Path, json_file: Path | None, csv_file: Path | None) -> None:
    """Score the masks of PRED, a run's folder or a folder of label images (PNG, TIFF), against true ones.

    Objects match above an IoU of 0.5, 0.55, ... 0.95. Pooled figures weigh every nucleus the same,
    averaged ones every image.
    """
    from rich.console import Console

    from nucbatch.scoring import paired, score_images
    from nucbatch.store.atomic import write_text

    predicted, true = _labels(pred), _labels(truth)
    names = paired(predicted, true)
    table = score_images((name, true[name](), predicted[name]()) for name in names)
    if json_file is not None:
        write_text(json_file, json.dumps(table.summary(), indent=2, ensure_ascii=False) + "\n")
    if csv_file is not None:
        write_text(csv_file, _as_csv(table))
    # Last, so that the files are there even if what is shown goes into a pipe that closes early.
    _show(Console(highlight=False), table)


def _labels(path: Path) -> Source:
    """The label images of a run or of a folder by name; each is read when called."""
    from functools import partial

    from nucbatch.readers.pixels import read_image
    from nucbatch.scoring import label_files
    from nucbatch.store.folder import RunFolder

    folder = RunFolder(path)
    if folder.is_run():
        return _labels_of_run(folder)
    return {name: partial(read_image, file) for name, file in label_files(path).items()}


def _labels_of_run(folder: RunFolder) -> Source:
    from functools import partial

    import pandas as pd

    from nucbatch.errors import InputNotFound
    from nucbatch.readers.pixels import read_image
    from nucbatch.store.images import read_labels

    if not folder.fields.is_file():
        raise InputNotFound(f"{folder.fields} does not exist: the run has not ended. Finish it first.")
    fields = pd.read_parquet(folder.fields, columns=["Name", "Metadata_Image", "Status"])
    done = fields[fields["Status"] == "done"]
    in_zarr = folder.plate_zarr.is_dir() or folder.images_zarr.is_dir()
    return {
        str(name): partial(read_labels, folder, str(group))
        if in_zarr
        else partial(read_image, folder.label_tiff(str(name)))
        for name, group in zip(done["Name"], done["Metadata_Image"], strict=True)
    }


def _show(console: Console, table: ScoreTable) -> None:
    from rich.table import Table
    from rich.text import Text

    from nucbatch.readers.names import plural

    pooled, averaged = table.pooled.figures(), table.averaged()
    totals = Table(title=plural(len(table.rows), "image"), title_justify="left")
    totals.add_column("figure")
    for heading in ("pooled", "averaged"):
        totals.add_column(heading, justify="right")
    for name in pooled:
        totals.add_row(name, _number(pooled[name]), _number(averaged[name]))
    console.print(totals)

    worst = sorted(table.rows, key=lambda row: (row.objects.f1(), row.name))[:_WORST]
    rows = Table(title=f"{len(worst)} of lowest object F1", title_justify="left")
    # A terminal of 80 columns shows every figure; the CSV has the names whole.
    rows.add_column("image", no_wrap=True, overflow="ellipsis", max_width=20)
    for heading in _COLUMNS.values():
        rows.add_column(heading, justify="right", no_wrap=True)
    for row in worst:
        figures = row.figures()
        rows.add_row(Text(row.name), *(_number(figures[name]) for name in _COLUMNS))
    console.print(rows)


def _number(value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return "–" if math.isnan(value) else f"{value:.3f}"


def _as_csv(table: ScoreTable) -> str:
    """One row per image; undefined figures are empty."""
    records = table.records()
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()
