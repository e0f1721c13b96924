"""``nucbatch score``: predicted labels against true ones, as tables, CSV, JSON, a page and pictures.

Files are written before anything is printed, so that they are there even if what is printed goes into a pipe
that closes early.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nucbatch.cli.terminal import say_error, terminal

if TYPE_CHECKING:
    from nucbatch.cli.label_sources import Entry
    from nucbatch.scoring import ScoreTable
    from nucbatch.scoring.binary import BinaryCheck
    from nucbatch.scoring.page import WorstImage
    from nucbatch.scoring.sheets import Grouping

Pairs = dict[str, "tuple[Entry, Entry]"]

WORST = 10
"""Images that are shown, printed and drawn as the worst."""


@click.command(short_help="Compare masks with ground truth.")
@click.argument("pred", type=click.Path(path_type=Path))
@click.option("--gt", "truth", required=True, type=click.Path(path_type=Path), help="True labels, as PRED.")
@click.option(
    "--by", "by_file", type=click.Path(path_type=Path), help="CSV with a row per image, to score by."
)
@click.option("--column", help="The column of the CSV of --by whose values are the groups.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write every figure there.")
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(path_type=Path),
    help="Write a row per image there, and the totals beside it as *_totals.csv.",
)
@click.option("--html", "html_file", type=click.Path(path_type=Path), help="Write a page to look at there.")
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write a PNG of each of the worst images into this folder.",
)
@click.option(
    "--images",
    "images_folder",
    type=click.Path(path_type=Path),
    help="Folder of the images, to draw over; runs, OME-Zarr and Kaggle's layout have them.",
)
def score(
    pred: Path,
    truth: Path,
    by_file: Path | None,
    column: str | None,
    json_file: Path | None,
    csv_file: Path | None,
    html_file: Path | None,
    pictures: Path | None,
    images_folder: Path | None,
) -> None:
    """Score the masks of PRED against true ones.

    Both are a run's folder, an OME-Zarr, or a folder of label images (PNG, TIFF) paired by stem; also
    Kaggle's <id>/masks/*.png. Objects match above an IoU of 0.5, 0.55, ... 0.95. Pooled figures weigh every
    nucleus the same, averaged ones every image.
    """
    from nucbatch.cli.label_sources import find_images, open_side, pair_sides
    from nucbatch.cli.score_tables import show
    from nucbatch.scoring import score_images
    from nucbatch.scoring.binary import BinaryCheck
    from nucbatch.scoring.sheets import as_json, images_csv, totals_csv, totals_path
    from nucbatch.store.atomic import write_text
    from nucbatch.version import __version__

    groups = _groups(by_file, column)
    images = find_images(images_folder) if images_folder is not None else {}
    pairs = pair_sides(open_side(pred), open_side(truth))
    by_name = _of_names(pairs, groups)
    checks = BinaryCheck("prediction"), BinaryCheck("truth")
    console = terminal()
    with terminal(stderr=True).status(f"Scoring {len(pairs)} images ..."):
        table = score_images(_read(pairs, *checks))
        by = _grouping(table, by_name, column)
        warnings = [text for check in checks if (text := check.warning())]
        if json_file is not None:
            about = {"pred": str(pred), "gt": str(truth), "nucbatch": __version__, "warnings": warnings}
            write_text(json_file, as_json(table, about, by))
        if csv_file is not None:
            write_text(csv_file, images_csv(table, by))
            write_text(totals_path(csv_file), totals_csv(table, by))
        if html_file is not None or pictures is not None:
            worst = _worst(table, pairs, _of_names(pairs, images))
            if html_file is not None:
                from nucbatch.scoring.page import About, render

                about_page = About(str(pred), str(truth), __version__, tuple(warnings))
                write_text(html_file, render(table, about_page, worst, by))
            if pictures is not None:
                _write_pictures(pictures, worst)
    show(console, table, by, WORST)
    for text in warnings:
        say_error(text)


def _groups(by_file: Path | None, column: str | None) -> dict[str, str]:
    from nucbatch.errors import InputError
    from nucbatch.scoring import read_groups

    if (by_file is None) != (column is None):
        raise InputError(
            "--by and --column belong together: the CSV, and the column whose values are groups."
        )
    return read_groups(by_file, column) if by_file is not None and column is not None else {}


def _of_names(pairs: Pairs, known: dict[str, Any]) -> dict[str, Any]:
    """What is known under any of an image's names, by the name under which it is scored."""
    found: dict[str, Any] = {}
    for name, (pred, truth) in pairs.items():
        for alias in (name, *truth.names, *pred.names):
            if alias in known:
                found[name] = known[alias]
                break
    return found


def _grouping(table: ScoreTable, by_name: dict[str, str], column: str | None) -> Grouping | None:
    from nucbatch.scoring import grouped
    from nucbatch.scoring.sheets import Grouping

    return None if column is None else Grouping(column, grouped(table, by_name))


def _read(pairs: Pairs, pred_check: BinaryCheck, truth_check: BinaryCheck) -> Iterator[tuple[str, Any, Any]]:
    for name, (pred, truth) in pairs.items():
        found, true = pred.labels(), truth.labels()
        pred_check.look(found)
        truth_check.look(true)
        yield name, true, found


def _worst(table: ScoreTable, pairs: Pairs, images: dict[str, Callable[[], Any]]) -> list[WorstImage]:
    from nucbatch.errors import InputError
    from nucbatch.scoring.backdrop import backdrop
    from nucbatch.scoring.page import WorstImage
    from nucbatch.scoring.pictures import draw

    worst = []
    for row in table.worst(WORST):
        pred, truth = pairs[row.name]
        labels = truth.labels()
        drawing = draw(labels, pred.labels())
        read = images.get(row.name) or pred.image or truth.image
        try:
            below = backdrop(read() if read else None, drawing, labels.shape)
        except InputError as error:
            raise InputError(f"the image of {row.name} can't be shown: {error}") from error
        worst.append(WorstImage(row, drawing, below, read is not None))
    return worst


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
