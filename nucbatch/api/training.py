"""``nucbatch.train``: trains a network on labelled images."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from nucbatch.core.errors import InputError
from nucbatch.object_store import disk_path


def train(
    data: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    preset: str | None = None,
    from_: str | Path | None = None,
    teacher: str | Path | Sequence[str | Path] = (),
    channel: str = "",
    steps: int | None = None,
    epochs: int | None = None,
    width: int | None = None,
    seed: int | None = None,
    patience: int | None = None,
    precision: str | None = None,
    device: str = "auto",
    name: str = "",
    test: bool = False,
    resume: bool = False,
    progress: bool = True,
) -> Path:
    """Trains a network on labelled images, from the start or from the weights of another model.

    Keywords are the options of ``nucbatch train``, with ``from_`` for ``--from``, a word that Python keeps
    for itself::

        weights = nb.train("LAB", "ours", from_="default")
        labels = nb.segment(image, model=weights)

    Args:
        data: folder of labelled images (``images/``, ``labels/`` and optionally ``split.csv``; or another
            layout of ``nucbatch train``), or several.
        out: folder for weights and history.
        preset: settings of the training; None: "default", or "finetune" with ``from_``.
        from_: start from the weights of this model: a name or a file.
        teacher: model (a name or a file), or several, whose maps are learnt beside the labels, half and half.
        channel: channel to learn from, in OME-Zarr data.
        steps: number of optimiser steps; this and the following default to the preset's.
        epochs: number of passes over the data.
        width: channels of the first level.
        seed: random seed.
        patience: stop after this number of scorings without improvement; 0 never.
        precision: "auto", "fp32", "bf16" or "fp16".
        device: "auto", "cpu" or "cuda".
        name: name of the model on its card.
        test: whether to score the test split at the end.
        resume: whether to continue from the state in the folder.
        progress: whether to show a progress bar, or lines where there is no terminal.

    Returns:
        The weight file, for ``model`` of the other functions.

    Raises:
        InputError, InputNotFound: the data or an option can't be used.
        WeightsError: there is no such model to start from.
        Stopped: Ctrl-C, or a signal; the state is saved, and ``resume`` continues from it.
    """
    try:
        from nucbatch.training.loop import train as train_network
    except ModuleNotFoundError as error:
        if error.name != "kornia":
            raise
        raise InputError("training needs kornia. Install it with: pip install 'nucbatch[train]'") from error
    from nucbatch.core.console import terminal
    from nucbatch.networks.locate import locate
    from nucbatch.training.chosen_recipe import chosen_recipe
    from nucbatch.training.data import find_data
    from nucbatch.training.progress_bar import TrainingBar

    folders = [data] if isinstance(data, str | Path) else data
    teachers = [teacher] if isinstance(teacher, str | Path) else teacher
    weights = None if from_ is None else locate(str(from_))
    changes = {
        "steps": steps,
        "epochs": epochs,
        "width": width,
        "seed": seed,
        "patience": patience,
        "precision": precision,
    }
    recipe = chosen_recipe(preset, weights, changes)
    with TrainingBar(terminal(soft_wrap=True)) if progress else nullcontext() as bar:
        return train_network(
            find_data([disk_path(folder) for folder in folders], channel),
            disk_path(out),
            recipe,
            start=weights,
            teachers=[locate(str(one)) for one in teachers],
            resume=resume,
            test=test,
            device=device,
            name=name,
            command=sys.argv,
            listener=bar,
        )
