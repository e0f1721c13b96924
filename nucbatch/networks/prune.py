"""Prunes a network that was trained with heads at several depths, to a smaller and faster one."""

from __future__ import annotations

from inspect import signature
from pathlib import Path

from nucbatch.core.errors import InputError
from nucbatch.networks.checkpoint import load_weights, save_weights
from nucbatch.networks.contract import architecture, build
from nucbatch.networks.model_card import PACKAGE, Card


def prune(weights: Path, level: int, path: Path) -> Card:
    """Writes the part of a network that computes the head of ``level``, and returns its card.

    The architecture must take an argument ``prune``, as U-Net++ with deep supervision does. The card keeps
    thresholds and normalisation, but no scores, which are those of the whole network.

    Raises:
        InputError: the architecture can't be pruned, or not to this level; ``path`` exists.
        WeightsError: ``weights`` is not a usable weight file.
        StoreError: the file can't be written.
    """
    if path.exists():
        raise InputError(f"{path} exists: name another file, so that it is not overwritten.")
    network, card = load_weights(weights)
    if card.architecture == PACKAGE:
        raise InputError(f"{card.name} is a package of another program, whose network can't be pruned.")
    if "prune" not in signature(architecture(card.architecture)).parameters:
        raise InputError(
            f"the network of {card.name} ({card.architecture}) can't be pruned, because it has one head "
            "alone: train one with --preset unet-plus-plus-supervised."
        )
    config = {**card.config, "prune": level}
    part = build(card.architecture, config)
    own = network.state_dict()
    part.load_state_dict({name: own[name] for name in part.state_dict()})
    changes = {
        "name": f"{card.name}-pruned-{level}",
        "config": config,
        "scores": {},
        "kinds": {},
        "calibration": None,
    }
    return save_weights(path, part, card.model_copy(update=changes))
