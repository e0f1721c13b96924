"""``nucbatch models check``: scores a model in each arithmetic of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nucbatch.cli.shared_options import DiskPath
from nucbatch.cli.terminal import terminal

if TYPE_CHECKING:
    from rich.console import Console

    from nucbatch.execution.kind_scores import LabelledImage
    from nucbatch.networks.model_card import Card


@click.command(short_help="Measure a model in each arithmetic of this machine.")
@click.argument("model")
@click.argument("data", type=DiskPath())
@click.option(
    "--by",
    "by_file",
    type=DiskPath(),
    help="CSV with a row per image, for --where and --group.  [default: split.csv of DATA]",
)
@click.option(
    "--where",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="Use only images with this value in that CSV, such as split=val.",
)
@click.option(
    "--group",
    "groups",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="Compare also the scores of these images alone. May be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Show the scores, and leave the card as it is.")
def check(
    model: str,
    data: Path,
    by_file: Path | None,
    where: tuple[str, ...],
    groups: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Score MODEL on the images of DATA in each arithmetic of this machine, and write that on its card.

    MODEL is a shipped model or a weight file; DATA a data set with images/ and labels/, or any other labelled
    images that nucbatch score takes. A run with --precision auto then uses the fastest arithmetic whose
    scores all differ by at most 0.002 from those of float32. Repeat it on each kind of machine that you use.
    """
    from nucbatch.core.errors import InputError
    from nucbatch.execution.kind_scores import kind_scores, write_kind_scores
    from nucbatch.networks.checkpoint import read_card
    from nucbatch.networks.locate import locate
    from nucbatch.networks.packages.archive import is_package

    weights = locate(model)
    if is_package(weights):
        raise InputError(f"{model} is a package, into which nothing is written: name a weight file.")
    images = _labelled(data, by_file, where, groups)
    with terminal(stderr=True).status("Scoring ...") as shown:
        scores = kind_scores(
            weights,
            images,
            " ".join(where),
            lambda kind, done: shown.update(f"{kind}: {done} of {len(images)} images"),
        )
    card = (
        read_card(weights).model_copy(update={"kinds": scores})
        if dry_run
        else write_kind_scores(weights, scores)
    )
    console = terminal(soft_wrap=True)
    _show(console, card, len(images))
    if not dry_run:
        console.print(f"Written into the card of {weights}", markup=False)


def _labelled(
    data: Path, by_file: Path | None, where: tuple[str, ...], groups: tuple[str, ...]
) -> list[LabelledImage]:
    """Returns the images of a data set that are selected, with their groups.

    Raises:
        InputError: there are no images beside the labels, or none is selected.
    """
    from nucbatch.cli.score_subset import conditions, groups_file, subset, table_beside
    from nucbatch.core.errors import InputError
    from nucbatch.execution.kind_scores import LabelledImage
    from nucbatch.labels.sides import open_side

    side = open_side(data)
    table = groups_file(by_file or table_beside(data), None, (*where, *groups), named=by_file is not None)
    if table is not None and where:
        side = subset([], side, table, conditions(where))[1]
    members: dict[str, set[Path]] = {}
    for group in groups:
        if table is not None:
            chosen = subset([], side, table, conditions([group]))[1]
            members[group] = {image.place for image in chosen}
    images = []
    for image in side:
        if image.image is None:
            raise InputError(f"{data} has labels without images: give a data set with images/ and labels/.")
        inside = [group for group, places in members.items() if image.place in places]
        images.append(LabelledImage(image.names[0], image.image, image.labels, image.ignore, inside))
    return images


def _show(console: Console, card: Card, images: int) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from nucbatch.core.numeric_kind import FLOAT32, LARGEST_DIFFERENCE, in_words

    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, title=f"{card.name}, {images} images", title_justify="left"
    )
    table.add_column("")
    for kind in card.kinds:
        table.add_column(Text(in_words(kind)), justify="right")
    for name in card.kinds[FLOAT32]:
        table.add_row(name, *(f"{scores[name]:.4f}" for scores in card.kinds.values() if name in scores))
    differences = card.differences
    table.add_row("largest difference", *(f"{differences[kind]:.4f}" for kind in card.kinds))
    allowed = ["yes" if differences[kind] <= LARGEST_DIFFERENCE else "no" for kind in card.kinds]
    table.add_row("used by --precision auto", *allowed)
    console.print(table)
