"""``nucbatch compare``: runs several models on the same images and compares their masks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nucbatch.cli.cluster_options import cluster_options
from nucbatch.cli.headings import HeadedCommand, headed
from nucbatch.cli.input_options import InputPath
from nucbatch.cli.segmentation_options import PRECISION
from nucbatch.cli.shared_options import DiskPath, OutputPath, RunPath
from nucbatch.cli.terminal import terminal
from nucbatch.cli.verbosity import is_quiet, verbosity_options
from nucbatch.core.log_file import early_records

if TYPE_CHECKING:
    from rich.console import Console

    from nucbatch.cli.score_worst import Pairs
    from nucbatch.core.segmentation_options import SegmentationOptions
    from nucbatch.schedulers.contract import Scheduling
    from nucbatch.scoring import ScoreTable
    from nucbatch.scoring.comparison import Comparison, ModelRun
    from nucbatch.scoring.html_page import WorstImage

SHOWN = 8
"""Number of images drawn on the page, those on which the models differ most."""


@click.command(cls=HeadedCommand, short_help="Compare models on the same images.")
@click.argument("images", type=InputPath())
@click.option(
    "--models",
    required=True,
    metavar="A,B,C",
    help="Shipped models or weight files; the others are compared with the first.",
)
@click.option("--gt", "truth", type=RunPath(), help="True labels, as for nucbatch score.")
@click.option("-o", "--out", required=True, type=OutputPath(), help="Folder of the results.")
@click.option("--channel", default="", help="Channel with the nuclei, if its name doesn't tell.")
@click.option("--diameter", help="Typical diameter of a nucleus, as for nucbatch run.  [default: auto]")
@headed("Model and image", PRECISION)
@click.option(
    "--by",
    "by_file",
    type=DiskPath(),
    help="CSV with a row per image, for --where and --cluster.  [default: split.csv of the --gt data set]",
)
@click.option(
    "--where",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="Score only images with this value in that CSV, such as split=test.",
)
@click.option(
    "--cluster",
    metavar="COLUMN",
    help="Column of that CSV that names what images share, such as slide or plate; the intervals draw such "
    "images together.",
)
@cluster_options
@verbosity_options
@early_records()
def compare(
    images: Path,
    models: str,
    truth: Path | None,
    out: Path,
    channel: str,
    diameter: str | None,
    precision: str,
    by_file: Path | None,
    where: tuple[str, ...],
    cluster: str | None,
    scheduling: Scheduling,
    block_px: int | None,
) -> None:
    """Run several models on IMAGES, and compare their masks with --gt, or with one another.

    Each model's run is a folder in OUT. OUT also gets compare.csv (a row per model), counts.csv (nuclei per
    image), compare.json and compare.html. Intervals are 95 % bootstrap intervals over images. The same
    command again continues where it stopped.
    """
    from nucbatch.core.errors import InputError
    from nucbatch.core.segmentation_options import SegmentationOptions
    from nucbatch.networks.locate import locate
    from nucbatch.scoring.compare_page import render
    from nucbatch.store.atomic import write_text
    from nucbatch.version import __version__

    names = [name.strip() for name in models.split(",") if name.strip()]
    if len(names) < 2 or len(set(names)) < len(names):
        raise InputError(f"--models {models}: name at least two different models, separated by commas.")
    for name in names:
        locate(name)
    if truth is None and (where or cluster or by_file):
        raise InputError("--by, --where and --cluster need true labels: give --gt.")
    folders = _folders(out, names)
    wanted = [
        SegmentationOptions(model=name, channel=channel, diameter=diameter, precision=precision)
        for name in names
    ]
    console = terminal(soft_wrap=True, quiet=is_quiet())
    runs = [
        _run(console, images, options, folder, scheduling, block_px)
        for options, folder in zip(wanted, folders, strict=True)
    ]
    with terminal(stderr=True).status("Scoring ..."):
        comparison, pictures, notes = _scored(runs, folders, truth, by_file, where, cluster)
        about = {"images": str(images), "gt": str(truth or ""), "nucbatch": __version__, "notes": notes}
        write_text(out / "compare.csv", comparison.as_csv())
        write_text(out / "counts.csv", comparison.counts_csv())
        write_text(out / "compare.json", comparison.as_json(about))
        write_text(out / "compare.html", render(comparison, about, pictures))
    results = terminal(soft_wrap=True)
    for note in notes:
        results.print(note, markup=False)
    _show(results, comparison)
    results.print(f"Page: {out / 'compare.html'}", markup=False)


def _folders(out: Path, names: Sequence[str]) -> list[Path]:
    """The folder of each model's run: its name, or of a weight file the stem."""
    from nucbatch.readers.names import unique_names

    safe = unique_names(f"{name}.x" if not name.endswith(".safetensors") else name for name in names)
    return [out / safe[name if name.endswith(".safetensors") else f"{name}.x"] for name in names]


def _run(
    console: Console,
    images: Path,
    options: SegmentationOptions,
    folder: Path,
    scheduling: Scheduling,
    block_px: int | None,
) -> ModelRun:
    """Runs one model, or continues its run, and describes it without scores."""
    import json

    import pandas as pd

    from nucbatch.cli.carry_out import execute_shown
    from nucbatch.execution.run_request import InputOptions, RunRequest
    from nucbatch.networks.checkpoint import load_weights
    from nucbatch.networks.contract import count_parameters
    from nucbatch.scoring.comparison import ModelRun
    from nucbatch.store.run_folder import RunFolder

    console.print(f"{options.model}: {folder}", markup=False)
    prepared = RunRequest(InputOptions(images), options, block_px=block_px).prepare(folder)
    execute_shown(console, prepared, folder, scheduling=scheduling)
    run = RunFolder(folder)
    fields = pd.read_parquet(run.fields)
    done = fields[fields["Status"] == "done"]
    every, trainable = count_parameters(load_weights(prepared.weights)[0])
    timings = json.loads(run.run_json.read_text())["timings"]
    pixels = (
        float((done["Height_px"] * done["Width_px"]).mean()) * timings["wall_fields"] if len(done) else 0.0
    )
    return ModelRun(
        folder.name,
        every if trainable else 0,
        pixels / 1e6 / timings["wall_s"] if timings["wall_s"] else 0.0,
        prepared.worker_bytes,
        dict(zip(done["Name"], done["Count_Nuclei"].astype(int), strict=True)),
        {name: well for name, well in zip(done["Name"], done["Metadata_Well"], strict=True) if well},
    )


def _scored(
    runs: Sequence[ModelRun],
    folders: Sequence[Path],
    truth: Path | None,
    by_file: Path | None,
    where: tuple[str, ...],
    cluster: str | None,
) -> tuple[Comparison, dict[str, list[tuple[str, WorstImage]]], list[str]]:
    """The comparison, drawings of the images on which the models differ most, and notes."""
    from dataclasses import replace
    from itertools import combinations

    from nucbatch.cli.score_subset import conditions, groups_file, of_names, subset, table_beside
    from nucbatch.labels.pairing import left_out, pair_sides
    from nucbatch.labels.sides import open_side, open_side_at
    from nucbatch.scoring import read_groups
    from nucbatch.scoring.comparison import Comparison

    sides = [open_side(folder) for folder in folders]
    notes, clusters, tables, pairs = [], None, [], []
    if truth is not None:
        true = open_side_at(truth, click.get_current_context().with_resource(ExitStack()))
        table = groups_file(by_file or table_beside(truth), cluster, where, named=by_file is not None)
        wanted = conditions(where)
        for side in sides:
            kept, kept_true = side, true
            if table is not None and wanted:
                kept, kept_true, note = subset(side, true, table, wanted)
                if note not in notes:
                    notes.append(note)
            pairs.append(pair_sides(kept, kept_true))
            if (unlabelled := left_out(len(kept), len(pairs[-1]))) and unlabelled not in notes:
                notes.append(unlabelled)
            tables.append(_table(pairs[-1]))
        if table is not None and cluster is not None:
            clusters = of_names(pairs[0], read_groups(table, cluster))
    agreement = {}
    for (one, first), (other, second) in combinations(zip(runs, sides, strict=True), 2):
        agreement[one.name, other.name] = _table(pair_sides(second, first), pictures=False)
    if truth is None:
        pairs = [pair_sides(side, sides[0]) for side in sides]
        tables = [_table(found) for found in pairs]
    described = tuple(
        replace(run, table=table if truth is not None else None)
        for run, table in zip(runs, tables, strict=True)
    )
    names = [run.name for run in runs]
    return Comparison(described, clusters, agreement), _pictures(names, pairs, tables), notes


def _table(pairs: Pairs, pictures: bool = True) -> ScoreTable:
    """Scores of each pair. ``pictures``: whether to read the images, for MSE and PSNR."""
    from nucbatch.labels.label_image import picture_of
    from nucbatch.scoring import score_images

    return score_images(
        (
            name,
            true.labels(),
            pred.labels(),
            true.ignore() if true.ignore else None,
            picture_of(true, pred) if pictures else None,
        )
        for name, (pred, true) in pairs.items()
    )


def _pictures(
    names: Sequence[str], pairs: Sequence[Pairs], tables: Sequence[ScoreTable]
) -> dict[str, list[tuple[str, WorstImage]]]:
    """For each image on which the object F1 of the models differs most: each model's name and drawing."""
    from nucbatch.cli.score_worst import drawn

    rows = [{row.name: row for row in table.rows} for table in tables]
    common = set.intersection(*(set(one) for one in rows))
    spread = {name: [one[name].objects.f1() for one in rows] for name in common}
    wanted = sorted(common, key=lambda name: (min(spread[name]) - max(spread[name]), name))[:SHOWN]
    return {
        name: [
            (model, drawn(row[name], *side[name]))
            for model, row, side in zip(names, rows, pairs, strict=True)
        ]
        for name in wanted
    }


def _show(console: Console, comparison: Comparison) -> None:
    """Prints a table of scores, and one of differences with their intervals or of agreement."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from nucbatch.scoring.bootstrap import COMPARED, FEWEST
    from nucbatch.scoring.figure_names import shown

    shown_table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    shown_table.add_column("")
    for run in comparison.runs:
        shown_table.add_column(Text(run.name), justify="right")
    shown_table.add_row("parameters", *(f"{run.parameters:,}" for run in comparison.runs))
    shown_table.add_row("Mpx/s, whole run", *(shown(run.megapixels_per_s) for run in comparison.runs))
    shown_table.add_row(
        "GiB per worker, projected", *(f"{run.worker_bytes / 2**30:.2f}" for run in comparison.runs)
    )
    shown_table.add_row("nuclei in all images", *(f"{sum(run.counts.values()):,}" for run in comparison.runs))
    differences = comparison.differences
    for place, (total, figure, heading) in enumerate(COMPARED):
        cells = []
        for run in comparison.runs:
            if run.table is None:
                break
            text = shown(run.table.totals()[total][figure])
            if run.name in differences:
                text += f"\n{differences[run.name][place].words}"
            cells.append(text)
        if cells:
            shown_table.add_row(heading, *cells)
    console.print(shown_table)
    if differences:
        console.print(
            "Below a figure: 95 % interval of its difference from the first model; none: it holds 0. "
            f"An interval needs {FEWEST} images, or {FEWEST} clusters."
        )
    for one in comparison.agreements:
        object_f1, pixel_f1, ratio, correlation = (
            shown(one.figures[name])
            for name in ("object_f1_50", "pixel_f1", "count_ratio", "count_correlation")
        )
        console.print(
            f"{one.first} and {one.second}: object F1 {object_f1}, pixel F1 {pixel_f1}; counts: median ratio "
            f"{ratio}, correlation {correlation}",
            markup=False,
        )
