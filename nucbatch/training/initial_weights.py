"""The network that a training starts from: random weights from the recipe's seed, or those of a model."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from nucbatch.core.errors import InputError
from nucbatch.networks.checkpoint import load_weights
from nucbatch.networks.contract import build
from nucbatch.networks.model_card import Card
from nucbatch.training.recipe import Recipe


def adapt_to_weights(recipe: Recipe, card: Card) -> Recipe:
    """The recipe with architecture, size and normalisation of the weights to start from.

    Raises:
        InputError: the weights predict other maps than the recipe trains, or need arguments that recipes
            lack.
    """
    if card.outputs != recipe.outputs:
        raise InputError(
            f"preset {recipe.name} trains {', '.join(recipe.outputs)}, the weights of {card.name} predict "
            f"{', '.join(card.outputs)}: start from weights of the same maps, or train with another --preset."
        )
    unknown = card.config.keys() - recipe.config.keys()
    if unknown or card.config.get("in_channels") != 3:
        raise InputError(
            f"the weights of {card.name} need {card.config}: nucbatch trains networks with 3 input channels "
            f"and the arguments {', '.join(recipe.config)} alone."
        )
    size = recipe.config | card.config
    return recipe.model_copy(
        update={
            "architecture": card.architecture,
            "width": size["width"],
            "depth": size["depth"],
            "normalise": card.normalise,
        }
    )


def initial_network(recipe: Recipe, start: Path | None) -> nn.Module:
    """The network before the first step, float32, in training mode.

    Raises:
        WeightsError: ``start`` is not a usable weight file.
    """
    torch.manual_seed(recipe.seed)
    network = build(recipe.architecture, recipe.config) if start is None else load_weights(start)[0]
    return network.train()
