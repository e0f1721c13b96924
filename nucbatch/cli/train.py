"""``nucbatch train``: labelled images → weights."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from nucbatch.cli.options import INTERRUPTED


@click.command(short_help="Train a network on labelled images.")
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder for weights and history."
)
@click.option("--preset", "preset_name", default="default", show_default=True, help="A recipe by name.")
@click.option("--steps", type=click.IntRange(min=1), help="Optimiser steps, instead of the preset's.")
@click.option("--seed", type=int, help="Random seed, instead of the preset's.")
@click.option("--resume", is_flag=True, help="Go on from the state in the folder.")
def train(data: Path, out: Path, preset_name: str, steps: int | None, seed: int | None, resume: bool) -> None:
    """Train a network on DATA: a folder with images/, labels/ and, if splits are given, split.csv."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.text import Text

    from nucbatch.errors import InputError

    try:
        from nucbatch.training.loop import train as train_network
    except ModuleNotFoundError as error:
        if error.name != "kornia":
            raise
        raise InputError("training needs kornia. Install it with: pip install 'nucbatch[train]'") from error
    from nucbatch.networks.checkpoint import read_card
    from nucbatch.training.data import find_data
    from nucbatch.training.recipe import preset

    changes = {key: value for key, value in (("steps", steps), ("seed", seed)) if value is not None}
    recipe = preset(preset_name).model_copy(update=changes)
    console = Console(highlight=False, soft_wrap=True)
    found = find_data(data)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out} can't hold weights ({error.strerror}): name another folder.") from error
    splits = ", ".join(f"{len(found.split(name))} {name}" for name in ("train", "val", "test"))
    console.print(f"{len(found.entries)} labelled images: {splits}")
    try:
        with Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}  Dice {task.fields[dice]:.3f}"),
            TimeRemainingColumn(),
            console=console,
        ) as bar:
            task = bar.add_task("training", total=recipe.steps, loss=float("nan"), dice=float("nan"))
            weights = train_network(
                found,
                out,
                recipe,
                resume=resume,
                progress=lambda step, loss, dice: bar.update(task, completed=step, loss=loss, dice=dice),
            )
    except KeyboardInterrupt:
        kept = f"every {recipe.score_every} steps"
        click.echo(f"\nStopped. State is kept {kept}: add --resume to go on from the last.", err=True)
        sys.exit(INTERRUPTED)
    card = read_card(weights)
    for name, value in card.scores.items():
        console.print(f"  {name}: {value:.4f}")
    console.print(Text(f"Weights: {weights}\nHistory: {out / 'history.csv'}, {out / 'history.png'}"))
