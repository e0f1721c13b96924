"""``nucbatch score``: scores predicted labels against true ones, as tables, CSV, JSON, a page and pictures.

Files are written before anything is printed, so that they exist even if the output goes into a pipe that
closes early.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nucbatch.cli.shared_options import DiskPath, RunPath
from nucbatch.cli.terminal import say_error, terminal

if TYPE_CHECKING:
    from nucbatch.cli.score_worst import Pairs
    from nucbatch.labels.binary import BinaryCheck
    from nucbatch.scoring import ScoreTable
    from nucbatch.scoring.html_page import WorstImage
    from nucbatch.scoring.score_files import Grouping

WORST = 10
"""Number of worst images that are printed and drawn."""


@click.command(short_help="Compare masks with ground truth.")
@click.argument("pred", type=RunPath())
@click.option("--gt", "truth", required=True, type=RunPath(), help="True labels, as PRED.")
@click.option(
    "--by",
    "by_file",
    type=DiskPath(),
    help="CSV with a row per image, for --column and --where.  [default: split.csv of the --gt data set]",
)
@click.option("--column", help="Column of that CSV by which images are grouped.")
@click.option(
    "--where",
    "where",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="Score only images with this value in that CSV, such as split=test. With several values of one "
    "column any of them, with several columns all.",
)
@click.option(
    "--ignore",
    "ignore_folder",
    type=DiskPath(),
    help="Folder of masks by stem; pixels that are not 0 in them are left out.  "
    "[default: ignore/ beside the true labels]",
)
@click.option("--count-ignored", is_flag=True, help="Also score pixels that are marked to be ignored.")
@click.option(
    "--against",
    type=RunPath(),
    help="A second prediction of the same images: shows its difference from PRED, with 95 % intervals by "
    "paired bootstrap over images.",
)
@click.option(
    "--cluster",
    metavar="COLUMN",
    help="With --against: column of the CSV that names what images share, such as slide or plate; such "
    "images are drawn together.",
)
@click.option("--json", "json_file", type=DiskPath(), help="Write all figures to this file.")
@click.option(
    "--csv",
    "csv_file",
    type=DiskPath(),
    help="Write a row per image to this file, and the totals to *_totals.csv beside it.",
)
@click.option("--html", "html_file", type=DiskPath(), help="Write an HTML page to this file.")
@click.option(
    "--pictures",
    type=DiskPath(file_okay=False),
    help="Write a PNG of each of the worst images into this folder.",
)
@click.option(
    "--images",
    "images_folder",
    type=DiskPath(),
    help="Folder of the images to draw on; not needed for runs, OME-Zarr and Kaggle's layout.",
)
def score(
    pred: Path,
    truth: Path,
    by_file: Path | None,
    column: str | None,
    where: tuple[str, ...],
    ignore_folder: Path | None,
    count_ignored: bool,
    against: Path | None,
    cluster: str | None,
    json_file: Path | None,
    csv_file: Path | None,
    html_file: Path | None,
    pictures: Path | None,
    images_folder: Path | None,
) -> None:
    """Score the masks of PRED against true ones.

    Both are a run's folder or address, an OME-Zarr, a folder of label images (PNG, TIFF) paired by stem, or a
    data set with images/ and labels/; also Kaggle's <id>/masks/*.png, and GeoJSON, COCO, LabelMe or ImageJ's
    ROIs. Objects match above an IoU of 0.5, 0.55, ... 0.95. In pooled figures every nucleus has the same
    weight, in averaged ones every image.

    Pixels marked in ignore/ are left out. A true nucleus of which more than half is ignored does not count as
    missed; such a predicted nucleus that matches no true one does not count as false.
    """
    from nucbatch.cli.score_against import show_differences
    from nucbatch.cli.score_subset import conditions, groups_file, of_names, subset, table_beside
    from nucbatch.cli.score_tables import show
    from nucbatch.cli.score_worst import worst_images
    from nucbatch.core.errors import InputError
    from nucbatch.labels.binary import BinaryCheck
    from nucbatch.labels.pairing import left_out, pair_sides
    from nucbatch.labels.sides import find_images, ignoring, open_side_at
    from nucbatch.scoring import read_groups, score_images
    from nucbatch.scoring.bootstrap import as_records, differences
    from nucbatch.scoring.score_files import as_json, images_csv, totals_csv, totals_path
    from nucbatch.store.atomic import write_text
    from nucbatch.version import __version__

    for file in (json_file, csv_file, html_file):
        if file is not None:
            _prepare(file)
    wanted = conditions(where)
    if cluster is not None and against is None:
        raise InputError("--cluster needs --against, a second prediction to compare with.")
    table_file = groups_file(
        by_file or table_beside(truth), column or cluster, where, named=by_file is not None
    )
    groups = read_groups(table_file, column) if table_file is not None and column is not None else {}
    images = find_images(images_folder) if images_folder is not None else {}
    console = terminal(soft_wrap=True)
    opened = click.get_current_context().with_resource(ExitStack())
    found, true = open_side_at(pred, opened), open_side_at(truth, opened)
    other = open_side_at(against, opened) if against is not None else []
    if ignore_folder is not None and count_ignored:
        raise InputError("--ignore and --count-ignored contradict each other: give one.")
    if ignore_folder is not None:
        true = ignoring(true, ignore_folder)
    elif count_ignored:
        true = [replace(entry, ignore=None) for entry in true]
    notes = []
    if table_file is not None and wanted:
        other = subset(other, true, table_file, wanted)[0]
        found, true, sentence = subset(found, true, table_file, wanted)
        notes.append(sentence)
    pairs = pair_sides(found, true)
    if note := left_out(len(found), len(pairs)):
        notes.append(note)
    by_name = of_names(pairs, groups)
    checks = BinaryCheck("prediction"), BinaryCheck("truth")
    with terminal(stderr=True).status(f"Scoring {len(pairs)} images ..."):
        table = score_images(_read(pairs, *checks))
        by = _grouping(table, by_name, column)
        change = []
        if against is not None:
            clusters = of_names(pairs, read_groups(table_file, cluster)) if table_file and cluster else None
            second = score_images(_read(pair_sides(other, true), *checks))
            change = differences(table, second, clusters)
        warnings = [text for check in checks if (text := check.warning())]
        marked = [row.ignored_px for row in table.rows if row.ignored_px]
        if marked:
            notes.append(
                f"Left out: {sum(marked):,} px marked to be ignored, in {len(marked)} of {len(pairs)} images"
            )
        if json_file is not None:
            about: dict[str, object] = {
                "pred": str(pred),
                "gt": str(truth),
                "nucbatch": __version__,
                "warnings": warnings,
            }
            about["notes"] = notes
            if against is not None:
                about |= {"against": str(against), "differences": as_records(change)}
            write_text(json_file, as_json(table, about, by))
        if csv_file is not None:
            write_text(csv_file, images_csv(table, by))
            write_text(totals_path(csv_file), totals_csv(table, by))
        if html_file is not None or pictures is not None:
            worst = worst_images(table, pairs, of_names(pairs, images), WORST)
            if html_file is not None:
                from nucbatch.scoring.html_page import About, render

                about_page = About(str(pred), str(truth), __version__, (*notes, *warnings))
                write_text(html_file, render(table, about_page, worst, by))
            if pictures is not None:
                _write_pictures(pictures, worst)
    for note in notes:
        console.print(note, markup=False)
    show(terminal(), table, by, WORST)
    if against is not None:
        show_differences(terminal(), change, str(pred), str(against))
    for text in warnings:
        say_error(text)


def _prepare(path: Path) -> None:
    """Makes a file's folder, so that an unwritable place is known before anything is scored.

    Raises:
        InputError: the path is a folder, or the file's folder can't be made or written to.
    """
    import os

    from nucbatch.core.errors import InputError

    if path.is_dir():
        raise InputError(f"{path} is a folder: name a file in it.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path.parent} can't be made ({error.strerror}): name another file.") from error
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path.parent} can't be written to: set its permissions, or name another file.")


def _grouping(table: ScoreTable, by_name: dict[str, str], column: str | None) -> Grouping | None:
    from nucbatch.scoring import grouped
    from nucbatch.scoring.score_files import Grouping

    return None if column is None else Grouping(column, grouped(table, by_name))


def _read(
    pairs: Pairs, pred_check: BinaryCheck, truth_check: BinaryCheck
) -> Iterator[tuple[str, Any, Any, Any, Any]]:
    from nucbatch.labels.label_image import picture_of

    for name, (pred, truth) in pairs.items():
        found, true = pred.labels(), truth.labels()
        pred_check.look(found)
        truth_check.look(true)
        yield name, true, found, truth.ignore() if truth.ignore else None, picture_of(truth, pred)


def _write_pictures(folder: Path, worst: list[WorstImage]) -> None:
    from nucbatch.readers.names import unique_names
    from nucbatch.scoring.backdrop import composite, png
    from nucbatch.store.atomic import cannot_write, write_bytes

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    safe = unique_names(f"{one.score.name}.x" for one in worst)
    for one in worst:
        picture = composite(one.backdrop, one.drawing)
        write_bytes(folder / f"{safe[f'{one.score.name}.x']}.png", png(picture), durable=False)
