"""``nucbatch train``: trains a network on labelled images."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nucbatch.cli.shared_options import DiskPath
from nucbatch.cli.terminal import INTERRUPTED, terminal
from nucbatch.cli.verbosity import is_quiet, verbosity_options
from nucbatch.training.verdict import verdict

if TYPE_CHECKING:
    from rich.console import Console

    from nucbatch.networks.model_card import Card
    from nucbatch.training.data import DataSet
    from nucbatch.training.recipe import Recipe


@click.command(short_help="Train a network on labelled images.")
@click.argument("data", type=DiskPath(), nargs=-1, required=True)
@click.option("-o", "--out", required=True, type=DiskPath(), help="Folder for weights and history.")
@click.option(
    "--preset",
    help="Settings: default, small, base, paper, refine, long, finetune; or the name of an architecture.  "
    "[default: default; finetune with --from]",
)
@click.option("--from", "start", metavar="MODEL", help="Start from the weights of a model: a name or a file.")
@click.option(
    "--teacher",
    "teachers",
    metavar="MODEL",
    multiple=True,
    help="Learn the maps of this model too, half and half with the labels: a name or a file. May be "
    "repeated: the mean of several models is a better teacher than one.",
)
@click.option("--channel", default="", help="Channel to learn from, in OME-Zarr data.")
@click.option(
    "--steps", type=click.IntRange(min=1), help="Number of optimiser steps.  [default: the preset's]"
)
@click.option(
    "--epochs", type=click.IntRange(min=1), help="Number of passes over the data.  [default: the preset's]"
)
@click.option(
    "--width", type=click.IntRange(min=1), help="Channels of the first level.  [default: the preset's]"
)
@click.option("--seed", type=int, help="Random seed.  [default: the preset's]")
@click.option(
    "--seeds",
    type=click.IntRange(min=2),
    help="Train this number of times, with successive seeds, each in a folder seed-<seed> of the output "
    "folder; show mean and standard deviation of the scores, and write them to seeds.csv.",
)
@click.option(
    "--patience",
    type=click.IntRange(min=0),
    help="Stop after this number of scorings without improvement; 0: never.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
    help="Numeric precision. auto: bf16 if the device has it, else fp32.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="auto: a GPU if there is one.",
)
@click.option("--name", default="", help="Name of the model.  [default: from data sets and preset]")
@click.option("--test", is_flag=True, help="Also score the test split at the end.")
@click.option("--resume", is_flag=True, help="Continue from the state in the folder.")
@verbosity_options
def train(
    data: tuple[Path, ...],
    out: Path,
    preset: str | None,
    start: str | None,
    teachers: tuple[str, ...],
    channel: str,
    device: str,
    name: str,
    test: bool,
    resume: bool,
    seeds: int | None,
    **changes: Any,
) -> None:
    """Train a network on DATA: labelled images.

    DATA is a folder with images/, labels/ and optionally split.csv; Kaggle's stage1_train; pairs of image and
    binary mask; or OME-Zarr with labels, such as a run's folder. Masks in a folder ignore/ mark pixels to
    leave out of loss and scores. With several DATA, each keeps its splits, and images are drawn so that each
    modality of each data set is weighted by the square root of its number of images.

    Ctrl-C, SIGTERM and SIGUSR1 save the state after the current step and exit with 130, 143 and 138; the same
    command with --resume continues from there. On several GPUs: torchrun --nproc-per-node N -m nucbatch
    train.
    """
    from rich.text import Text

    from nucbatch.core.errors import InputError

    if importlib.util.find_spec("kornia") is None:
        raise InputError("training needs kornia. Install it with: pip install 'nucbatch[train]'")
    from nucbatch.networks.locate import locate
    from nucbatch.training.chosen_recipe import chosen_recipe
    from nucbatch.training.data import find_data
    from nucbatch.training.malloc import keep_freed_memory
    from nucbatch.training.processes import is_main_process

    keep_freed_memory()
    console = terminal(soft_wrap=True, quiet=is_quiet() or not is_main_process())
    weights = locate(start) if start else None
    recipe = chosen_recipe(preset, weights, changes)
    found = find_data(data, channel)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out} can't hold weights ({error.strerror}): name another folder.") from error
    for warning in found.warnings:
        console.print(Text(f"Warning: {warning}", style="yellow"))
    splits = ", ".join(f"{len(found.split(name))} {name}" for name in ("train", "val", "test"))
    console.print(f"{len(found.entries)} labelled images: {splits}")
    for one in found.sets if len(found.sets) > 1 else ():
        inside = [entry.split for entry in found.entries if entry.dataset == one]
        parts = ", ".join(f"{inside.count(split)} {split}" for split in ("train", "val", "test"))
        console.print(Text(f"  {one}: {parts}"))
    settings: dict[str, Any] = {
        "start": weights,
        "teachers": [locate(teacher) for teacher in teachers],
        "resume": resume,
        "test": test,
        "device": device,
        "name": name,
        "command": sys.argv,
    }
    if seeds is None:
        _train_once(console, found, out, recipe, settings)
        return
    cards = []
    for seed in range(recipe.seed, recipe.seed + seeds):
        folder = out / f"seed-{seed}"
        console.print(Text(f"Seed {seed}: {folder}"))
        again = resume and (folder / "state.safetensors").exists()
        seeded = recipe.model_copy(update={"seed": seed})
        cards.append(_train_once(console, found, folder, seeded, settings | {"resume": again}))
    if is_main_process():
        _summarise(cards, range(recipe.seed, recipe.seed + seeds), out / "seeds.csv")


def _train_once(
    console: Console, found: DataSet, out: Path, recipe: Recipe, settings: dict[str, Any]
) -> Card | None:
    """Trains a network with a progress bar and prints its scores; returns its card.

    Exits if it is interrupted. Only the main process of torchrun prints, and gets a card.
    """
    from rich.text import Text

    from nucbatch.core.signals import Stopped
    from nucbatch.networks.checkpoint import read_card
    from nucbatch.training.history import read_history
    from nucbatch.training.loop import train as train_network
    from nucbatch.training.processes import is_main_process
    from nucbatch.training.progress_bar import TrainingBar

    try:
        with TrainingBar(console) as bar:
            weights = train_network(found, out, recipe, listener=bar, **settings)
    except Stopped as stopped:
        if is_main_process():
            terminal().print(f"{stopped}; the state is saved. Add --resume to continue from there.")
        sys.exit(stopped.exit_code)
    except KeyboardInterrupt:
        click.echo(
            "\nStopped. Add --resume to continue from the last saved state, if there is one.", err=True
        )
        sys.exit(INTERRUPTED)
    if not is_main_process():
        return None
    card = read_card(weights)
    for sentence in verdict(card, read_history(out / "history.csv", 0)):
        console.print(Text(f"Warning: {sentence}", style="yellow"))
    if "differs from the preset" in card.training:
        console.print(f"Preset {recipe.name}, with {card.training['differs from the preset']}.")
    for figure, value in card.scores.items():
        console.print(f"  {figure}: {value:.4f}")
    terminal(soft_wrap=True).print(Text(f"Weights: {weights}"))
    console.print(Text(f"History: {out / 'history.csv'}, {out / 'history.png'}"))
    return card


def _summarise(cards: Sequence[Card | None], seeds: Iterable[int], path: Path) -> None:
    """Prints mean and standard deviation of each score over the seeds, and writes all scores as CSV."""
    import csv
    import statistics

    trained = [card.scores for card in cards if card is not None]
    figures = list(trained[0])
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["seed", *figures])
        writer.writerows(
            [seed, *(scores[figure] for figure in figures)]
            for seed, scores in zip(seeds, trained, strict=True)
        )
    results = terminal(soft_wrap=True)
    results.print(f"Over {len(trained)} seeds, mean ± standard deviation:")
    for figure in figures:
        values = [scores[figure] for scores in trained]
        results.print(f"  {figure}: {statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}")
    results.print(f"Scores: {path}", markup=False)
