"""``nucbatch train``: trains a network on labelled images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from nucbatch.cli.terminal import INTERRUPTED, terminal
from nucbatch.cli.verbosity import is_quiet, verbosity_options
from nucbatch.training.verdict import verdict


@click.command(short_help="Train a network on labelled images.")
@click.argument("data", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder for weights and history."
)
@click.option(
    "--preset",
    help="Settings: default, small, base, paper, refine, long, finetune; or the name of an architecture.  "
    "[default: default; finetune with --from]",
)
@click.option("--from", "start", metavar="MODEL", help="Start from the weights of a model: a name or a file.")
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
    channel: str,
    device: str,
    name: str,
    test: bool,
    resume: bool,
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

    try:
        from nucbatch.training.loop import train as train_network
    except ModuleNotFoundError as error:
        if error.name != "kornia":
            raise
        raise InputError("training needs kornia. Install it with: pip install 'nucbatch[train]'") from error
    from nucbatch.core.signals import Stopped
    from nucbatch.networks.checkpoint import locate, read_card
    from nucbatch.training.chosen_recipe import chosen_recipe
    from nucbatch.training.data import find_data
    from nucbatch.training.history import read_history
    from nucbatch.training.malloc import keep_freed_memory
    from nucbatch.training.processes import is_main_process
    from nucbatch.training.progress_bar import TrainingBar

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
    try:
        with TrainingBar(console) as bar:
            weights = train_network(
                found,
                out,
                recipe,
                start=weights,
                resume=resume,
                test=test,
                device=device,
                name=name,
                command=sys.argv,
                listener=bar,
            )
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
        return
    card = read_card(weights)
    for sentence in verdict(card, read_history(out / "history.csv", 0)):
        console.print(Text(f"Warning: {sentence}", style="yellow"))
    if "differs from the preset" in card.training:
        console.print(f"Preset {recipe.name}, with {card.training['differs from the preset']}.")
    for figure, value in card.scores.items():
        console.print(f"  {figure}: {value:.4f}")
    terminal(soft_wrap=True).print(Text(f"Weights: {weights}"))
    console.print(Text(f"History: {out / 'history.csv'}, {out / 'history.png'}"))
